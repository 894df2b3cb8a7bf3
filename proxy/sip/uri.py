"""SIP URIs: RFC 3261 §19.1. Other schemes keep their text and have no host."""

from __future__ import annotations

from ipaddress import IPv6Address

import cython

from proxy.errors import BadMessage, BadUri
from proxy.limits import bounds
from proxy.sip.draft import Draft

if not cython.compiled:
    from proxy.sip.grammar import (
        HEX,
        LOWER,
        URI,
        check_scheme,
        cut,
        find_byte,
        holds,
        port_number,
        same_name,
        same_text,
        scan_host,
        skip_digits,
        span_uri,
    )

_URI_BYTES = bounds.URI_BYTES
_PARAMS = bounds.PARAMS
_AOR_BYTES = bounds.AOR_BYTES
_DEFAULT_PORTS = {b"sip": 5060, b"sips": 5061}
# RFC 2396 §2.2: escaped and bare differ in meaning for these. The rest of the printable ones are
# the same character either way (§19.1.4), except those that would end the user part elsewhere.
_RESERVED = frozenset(b';/?:@&=+$,%"<>\\')
_PLAIN = frozenset(
    b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.!~*'()&=+$,;?/"
)
_draft = Draft()
_MATCHED_PARAMS = (b"user", b"ttl", b"method", b"maddr", b"transport")


@cython.no_gc
@cython.freelist(64)
@cython.cclass
class Uri:
    """One URI. `params` and `headers` are the raw text after the first ';' and the first '?'."""

    __slots__ = (
        "headers",
        "host",
        "host_is_v6",
        "is_sip",
        "lr",
        "maddr",
        "params",
        "password",
        "port",
        "raw",
        "scheme",
        "transport",
        "user",
    )

    raw: bytes
    scheme: bytes
    is_sip: bool
    user: bytes
    password: bytes
    host: bytes
    host_is_v6: bool
    port: int
    params: bytes
    headers: bytes
    transport: bytes
    maddr: bytes
    lr: bool

    def param(self, name: bytes) -> bytes | None:
        """A parameter's value: None when absent, b"" when it has none."""
        wanted = name.lower()
        for part in self.params.split(b";"):
            found, _, value = part.partition(b"=")
            if found.lower() == wanted:
                return value
        return None

    @property
    def hostport(self) -> bytes:
        """The host, in brackets if IPv6, with the port if there is one."""
        host = b"[" + self.host + b"]" if self.host_is_v6 else self.host
        return b"%b:%d" % (host, self.port) if self.port else host

    def __repr__(self) -> str:
        return f"Uri({self.raw!r})"


def parse_uri(raw: bytes) -> Uri:
    """The parts of a URI; BadMessage when it is malformed."""
    p = raw
    if not cython.compiled:
        p = raw + b"\0"
    end = len(raw)
    if end > _URI_BYTES:
        raise BadUri("A URI is too long", 414)
    at = _check_characters(p, end)
    start = check_scheme(p, 0, end)
    made = Uri.__new__(Uri)
    made.raw = raw
    made.user = made.password = made.host = made.params = made.headers = b""
    made.transport = made.maddr = b""
    made.host_is_v6 = made.lr = False
    made.port = 0
    made.is_sip = True
    if start == 4 and same_name(p, 0, 3, b"sip"):
        made.scheme = b"sip"
    elif start == 5 and same_name(p, 0, 4, b"sips"):
        made.scheme = b"sips"
    else:
        made.scheme = raw[: start - 1].lower()
        made.is_sip = False
        made.user = cut(raw, start, end)
        return made
    if at >= 0:
        _read_userinfo(made, p, start, at)
        start = at + 1
    _read_after_user(made, p, start, end)
    return made


def _check_characters(p: bytes, end: int) -> int:
    """The index of the '@' or -1, after every byte was found to be one that a URI may hold."""
    if span_uri(p, 0, end, URI) < end:
        raise BadUri("A URI with a character that must be escaped")
    i = find_byte(p, 0, end, ord("%"))
    while i >= 0:
        if i + 2 >= end or not HEX[p[i + 1]] or not HEX[p[i + 2]]:
            raise BadUri("A URI with a bad escape")
        i = find_byte(p, i + 1, end, ord("%"))
    at = find_byte(p, 0, end, ord("@"))
    # Elsewhere it must be escaped (§25.1); two would let two parsers find two hosts.
    if at >= 0 and find_byte(p, at + 1, end, ord("@")) >= 0:
        raise BadUri("A URI with two @")
    return at


def _read_userinfo(made: Uri, p: bytes, start: int, at: int) -> int:
    i = start
    while i < at and p[i] != ord(":"):
        i += 1
    if i == start:
        raise BadUri("A URI with an empty user part")
    made.user = cut(made.raw, start, i)
    if i < at:
        made.password = cut(made.raw, i + 1, at)
        if b":" in made.password:
            raise BadUri("A URI with a colon in its password")
    return 0


def _read_after_user(made: Uri, p: bytes, start: int, end: int) -> int:
    i = scan_host(p, start, end)
    if p[start] == ord("["):
        made.host_is_v6 = True
        made.host = _lower(made.raw, p, start + 1, i - 1).replace(b":::", b"::")
    else:
        made.host = _lower(made.raw, p, start, i)
    if i < end and p[i] == ord(":"):
        first = i + 1
        i = skip_digits(p, first, end)
        made.port = port_number(p, first, i)
    if i < end and p[i] == ord(";"):
        first = i + 1
        i = _read_params(made, p, first, end)
        made.params = cut(made.raw, first, i)
    if i < end and p[i] == ord("?"):
        made.headers = cut(made.raw, i + 1, end)
    elif i < end:
        raise BadUri("A URI with a bad host or port")
    return 0


def _lower(raw: bytes, p: bytes, start: int, end: int) -> bytes:
    for i in range(start, end):
        if LOWER[p[i]] != p[i]:
            return cut(raw, start, end).lower()
    return cut(raw, start, end)


def _read_params(made: Uri, p: bytes, i: int, end: int) -> int:
    """Walk the parameters from i to the '?' or the end, noting those that routing asks for."""
    count = 0
    while True:
        count += 1
        if count > _PARAMS:
            raise BadUri("A URI with too many parameters")
        at = i
        while i < end and p[i] != ord("=") and p[i] != ord(";") and p[i] != ord("?"):
            i += 1
        name_end = i
        if i < end and p[i] == ord("="):
            i += 1
        value = i
        while i < end and p[i] != ord(";") and p[i] != ord("?"):
            i += 1
        if at == name_end:
            raise BadUri("A URI with an empty parameter")
        if same_name(p, at, name_end, b"lr"):
            made.lr = True
        elif same_name(p, at, name_end, b"transport"):
            if made.transport or value == i:
                raise BadUri("A URI with a bad transport")
            made.transport = _lower(made.raw, p, value, i)
        elif same_name(p, at, name_end, b"maddr"):
            if made.maddr or value == i:
                raise BadUri("A URI with a bad maddr")
            made.maddr = _lower(made.raw, p, value, i)
        if i == end or p[i] == ord("?"):
            return i
        i += 1


def unescape_user(user: bytes) -> bytes:
    """The canonical spelling: escapes undone where bare and escaped mean the same (§19.1.4)."""
    if b"%" not in user:
        return user
    first, *rest = user.split(b"%")
    pieces = [first]
    for part in rest:
        value = int(part[:2], 16)
        # %00 stays apart from what a C string would make of it (RFC 4475 §3.1.1.5).
        if 0x20 < value < 0x7F and value not in _RESERVED:
            pieces.append(bytes((value,)) + part[2:])
        else:
            pieces.append(b"%" + part[:2].upper() + part[2:])
    return b"".join(pieces)


def escape_user(text: bytes) -> bytes:
    """Any bytes as the user part of a URI (§25.1 user)."""
    return b"".join(bytes((c,)) if c in _PLAIN else b"%%%02X" % c for c in text)


def uri_with(uri: Uri, user: bytes | None, host: bytes | None, port: int | None) -> bytes:
    """A SIP URI with other parts, the rest byte for byte; ValueError for what it cannot hold.

    Port 0 takes the port away, and another host goes without the old one's port.
    """
    if not uri.is_sip:
        raise ValueError(f"only sip and sips URIs have parts to change, not {uri.raw!r}")
    scheme, _, rest = uri.raw.partition(b":")
    login, at, rest = rest.rpartition(b"@")
    behind = min([i for i in (rest.find(b";"), rest.find(b"?")) if i >= 0] or [len(rest)])
    if user is not None:
        login, at = user, b"@" if user else b""
    hostport = rest[:behind]
    if host is not None or port is not None:
        old = b"[" + uri.host + b"]" if uri.host_is_v6 else uri.host
        number = (0 if host is not None else uri.port) if port is None else port
        hostport = (old if host is None else host) + (b":%d" % number if number else b"")
    made = scheme + b":" + login + at + hostport + rest[behind:]
    try:
        parsed = parse_uri(made)
    except BadMessage as error:
        raise ValueError(f"{made!r} is no URI: {error.reason}") from None
    bare = None if host is None else host.lower().strip(b"[]")
    if (user is not None and parsed.user != user) or (bare is not None and parsed.host != bare):
        raise ValueError(f"{user or host!r} would be read as something else in {made!r}")
    return made


def _canonical_host(uri: Uri) -> bytes:
    if not uri.host_is_v6:
        return uri.host
    return b"[" + IPv6Address(uri.host.decode("ascii")).compressed.encode("ascii") + b"]"


def is_plain(uri: Uri) -> bool:
    """Whether user@host stands in the URI as it is found by, and nothing else behind the scheme."""
    size = len(uri.raw)
    at = size - len(uri.host)
    return (
        len(uri.scheme) + len(uri.user) + 2 == at
        and size <= _AOR_BYTES
        and same_text(uri.raw, at, size, uri.host)
        and not holds(uri.user, b"%")
    )


def aor_key(uri: Uri) -> bytes:
    """The canonical `user@host` that a location record is found by (RFC 3261 §10.3 step 5)."""
    if not uri.is_sip:
        key = uri.scheme + b":" + uri.user
    elif uri.user:
        if is_plain(uri):
            return cut(uri.raw, len(uri.scheme) + 1, len(uri.raw))
        draft = _draft
        draft.begin()
        draft.add(unescape_user(uri.user) if holds(uri.user, b"%") else uri.user)
        draft.add(b"@")
        draft.add(_canonical_host(uri) if uri.host_is_v6 else uri.host)
        key = draft.take()
    else:
        key = _canonical_host(uri)
    if uri.port and uri.port != _DEFAULT_PORTS[uri.scheme]:
        key += b":%d" % uri.port
    if len(key) > _AOR_BYTES:
        raise BadMessage("An address-of-record is too long")
    return key


def _param_map(text: bytes, separator: bytes) -> dict[bytes, bytes]:
    found = {}
    for part in text.split(separator) if text else ():
        name, _, value = part.partition(b"=")
        found[unescape_user(name).lower()] = unescape_user(value).lower()
    return found


def uri_equal(a: Uri, b: Uri) -> bool:
    """Whether two URIs are equivalent (RFC 3261 §19.1.4)."""
    if a.raw == b.raw:
        return True
    if a.scheme != b.scheme or a.port != b.port or a.is_sip != b.is_sip:
        return False
    if unescape_user(a.user) != unescape_user(b.user):
        return False
    if unescape_user(a.password) != unescape_user(b.password):
        return False
    if not a.is_sip:
        return True
    if _canonical_host(a) != _canonical_host(b):
        return False
    ours = _param_map(a.params, b";")
    theirs = _param_map(b.params, b";")
    for name in _MATCHED_PARAMS:
        if (name in ours) != (name in theirs):
            return False
    for name, value in ours.items():
        if name in theirs and theirs[name] != value:
            return False
    # "any present header component MUST be present in both": never ignored.
    return _param_map(a.headers, b"&") == _param_map(b.headers, b"&")
