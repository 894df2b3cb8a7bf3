"""Header values as objects: Via, name-addr, Contact, Route, CSeq (RFC 3261 §20)."""

from __future__ import annotations

import cython

from proxy.errors import BadMessage
from proxy.limits import bounds

if not cython.compiled:
    from proxy.sip.grammar import (
        cut,
        same_name,
        scan_number,
        scan_param,
        skip_lws,
        skip_quoted,
    )
    from proxy.sip.values import scan_cseq, scan_name_addr, scan_via

_MAX_EXPIRES = bounds.EXPIRES_SECONDS
_MAX_CONTACTS = bounds.CONTACTS_PER_REGISTER
_MAX_ROUTES = bounds.ROUTES
MALFORMED_EXPIRES = 3600  # RFC 3261 §20.19, and §20.10 for the parameter


def find_param(params: bytes, name: bytes) -> bytes | None:
    """A parameter of a header value: None when absent, b"" when a flag; quotes taken off."""
    p = params
    if not cython.compiled:
        p = params + b"\0"
        out = [0] * 24
    end = len(params)
    wanted = name.lower()
    i = 0
    while i < end:
        i = scan_param(p, i, end, out)
        if same_name(p, out[20], out[21], wanted):
            return b"" if out[22] < 0 else unquote(params[out[22] : out[23]])
        i += 1
    return None


def unquote(text: bytes) -> bytes:
    """A quoted string's meaning (§25.1 quoted-pair); anything else as it is."""
    if text[:1] != b'"':
        return text
    text = text[1:-1]
    if b"\\" not in text:
        return text
    pieces = []
    i = 0
    while i < len(text):
        if text[i] == ord("\\"):
            i += 1
        pieces.append(text[i : i + 1])
        i += 1
    return b"".join(pieces)


def quoted(text: bytes) -> bytes:
    """Text as a quoted string (§25.1)."""
    return b'"' + text.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


@cython.no_gc
@cython.freelist(64)
@cython.cclass
class Via:
    """One Via value (§20.42, RFC 3581)."""

    __slots__ = (
        "branch",
        "host",
        "host_is_v6",
        "maddr",
        "params",
        "port",
        "protocol",
        "raw",
        "received",
        "rport",
        "transport",
        "ttl",
    )

    raw: bytes
    protocol: bytes
    transport: bytes
    host: bytes
    host_is_v6: bool
    port: int
    branch: bytes
    received: bytes
    rport: int
    maddr: bytes
    ttl: int
    params: bytes

    def param(self, name: bytes) -> bytes | None:
        """Any parameter's value: None when absent, b"" when it has none."""
        return find_param(self.params, name)

    @property
    def hostport(self) -> bytes:
        """sent-by: the host, in brackets if IPv6, with the port if there is one."""
        host = b"[" + self.host + b"]" if self.host_is_v6 else self.host
        return b"%b:%d" % (host, self.port) if self.port else host

    def __repr__(self) -> str:
        return f"Via({self.raw!r})"


def parse_via(value: bytes) -> Via:
    """The parts of one Via value; BadMessage for none, more than one, or a malformed one."""
    p = value
    if not cython.compiled:
        p = value + b"\0"
        out = [0] * 24
    if scan_via(p, 0, len(value), out) != len(value):
        raise BadMessage("Via: more than one value")
    return via_from(value, out)


def parse_vias(values: list[bytes]) -> list[Via]:
    """Every Via in header lines, topmost first."""
    return [parse_via(value) for line in values for value in split_commas(line)]


def via_from(data: bytes, out: list[int]) -> Via:
    """The object for what `scan_via` found in `data`."""
    made = Via.__new__(Via)
    made.raw = cut(data, out[14], out[13])
    made.protocol = b"SIP/2.0"
    transport = cut(data, out[0], out[1])
    made.transport = b"UDP" if transport == b"UDP" else transport.upper()
    made.host_is_v6 = data[out[2]] == ord("[")
    host = cut(data, out[2] + 1, out[3] - 1) if made.host_is_v6 else cut(data, out[2], out[3])
    made.host = host.lower().replace(b":::", b"::") if made.host_is_v6 else host.lower()
    made.port = out[4]
    made.branch = cut(data, out[5], out[6]) if out[5] >= 0 else b""
    made.received = _address_text(cut(data, out[7], out[8])) if out[7] >= 0 else b""
    made.maddr = _address_text(cut(data, out[15], out[16])) if out[15] >= 0 else b""
    made.params = cut(data, out[12] + 1, out[13])
    made.rport = _number_in(data, out[9], out[10], 65535, "Via: bad rport")
    made.ttl = _number_in(data, out[17], out[18], 255, "Via: bad ttl")
    return made


def _number_in(data: bytes, start: int, end: int, limit: int, complaint: str) -> int:
    if start < 0:
        return -1
    if start == end:
        return 0
    p = data
    if not cython.compiled:
        p = data + b"\0"
    number = scan_number(p, start, end, limit)
    if number < 0:
        raise BadMessage(complaint)
    return number


def _address_text(text: bytes) -> bytes:
    """RFC 5118 §4.5: an IPv6 address in `received` comes with and without brackets."""
    if text[:1] == b"[" and text[-1:] == b"]":
        text = text[1:-1]
    return text.lower().replace(b":::", b"::")


@cython.no_gc
@cython.freelist(64)
@cython.cclass
class NameAddr:
    """One From, To, Route ... value (§20.10): display name, URI as written, parameters."""

    __slots__ = (
        "_display_end",
        "_display_start",
        "_end",
        "_params_start",
        "_start",
        "_tag_end",
        "_tag_start",
        "_text",
        "bracketed",
        "uri",
    )

    uri: bytes
    bracketed: bool
    _text: bytes  # the header value that it stands in, and where its parts are there
    _start: int
    _end: int
    _display_start: int
    _display_end: int
    _params_start: int
    _tag_start: int
    _tag_end: int

    @property
    def raw(self) -> bytes:
        """All of it."""
        return cut(self._text, self._start, self._end)

    @property
    def params(self) -> bytes:
        """The text after the first ';' behind the URI."""
        return cut(self._text, self._params_start, self._end)

    @property
    def tag(self) -> bytes:
        """The tag, b"" for none."""
        return cut(self._text, self._tag_start, self._tag_end)

    @property
    def _display(self) -> bytes:
        """The display name as it is written."""
        return cut(self._text, self._display_start, self._display_end)

    @property
    def display(self) -> bytes:
        """The display name's meaning; b"" for none."""
        return unquote(self._display.strip())

    def param(self, name: bytes) -> bytes | None:
        """A header parameter's value: None when absent, b"" when it has none."""
        return find_param(self.params, name)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.raw!r})"


def renamed(addr: NameAddr, display: bytes | None, uri: bytes | None) -> bytes:
    """The address with another display name (b"": none) or URI; its parameters stay."""
    shown = addr._display.strip() if display is None else quoted(display) if display else b""
    value = shown + b" " if shown else b""
    value += b"<" + (addr.uri if uri is None else uri) + b">"
    return value + b";" + addr.params if addr.params else value


@cython.no_gc
@cython.cclass
class ContactValue(NameAddr):
    """One Contact value: `*`, or an address with what a registrar reads of it (§20.10)."""

    __slots__ = ("expires", "instance", "q", "reg_id", "star")

    star: bool
    q: int
    expires: int
    instance: bytes
    reg_id: int


def _fill(made: NameAddr, data: bytes, out: list[int]) -> int:
    made._text = data
    made._start = out[9]
    made._end = out[5]
    made._display_start = out[0]
    made._display_end = out[1]
    made._params_start = out[4] + 1
    made._tag_start = out[6]
    made._tag_end = out[7]
    made.uri = cut(data, out[2], out[3])
    made.bracketed = out[8] != 0
    return 0


def parse_name_addr(value: bytes) -> NameAddr:
    """One address; a comma after it is an error, as it is in From and To."""
    p = value
    if not cython.compiled:
        p = value + b"\0"
        out = [0] * 24
    if scan_name_addr(p, 0, len(value), out) != len(value):
        raise BadMessage("More than one address where one belongs")
    made = NameAddr.__new__(NameAddr)
    _fill(made, value, out)
    return made


def parse_routes(values: list[bytes]) -> list[NameAddr]:
    """Every Route, Record-Route or Path value of the lines, in order (§20.34)."""
    found: list[NameAddr] = []
    for value in values:
        p = value
        if not cython.compiled:
            p = value + b"\0"
            out = [0] * 24
        end = len(value)
        i = 0
        while i <= end:
            i = scan_name_addr(p, i, end, out) + 1
            made = NameAddr.__new__(NameAddr)
            _fill(made, value, out)
            # Outside <> nobody could say whether ;lr belongs to the URI or to the header.
            if not made.bracketed:
                raise BadMessage("A route that is not in <>")
            if len(found) == _MAX_ROUTES:
                raise BadMessage("Too many routes")
            found.append(made)
    return found


def parse_contacts(values: list[bytes]) -> list[ContactValue]:
    """Every Contact value of the lines, in order; `*` must stand alone (§10.2.2)."""
    found: list[ContactValue] = []
    star = False
    for value in values:
        p = value
        if not cython.compiled:
            p = value + b"\0"
            out = [0] * 24
        end = len(value)
        i = 0
        while i <= end:
            i = skip_lws(p, i, end)
            if i < end and p[i] == ord("*") and skip_lws(p, i + 1, end) == end:
                star = True
                found.append(_star())
                break
            i = scan_name_addr(p, i, end, out) + 1
            if len(found) == _MAX_CONTACTS:
                raise BadMessage("Contact: too many")
            found.append(_contact_from(value, p, out))
    if star and len(found) > 1:
        raise BadMessage("Contact: * is not alone")
    return found


def contact_uri(value: bytes) -> bytes:
    """The URI of the first Contact value of a line; nothing of one that is malformed or `*`."""
    p = value
    if not cython.compiled:
        p = value + b"\0"
        out = [0] * 24
    try:
        scan_name_addr(p, 0, len(value), out)
    except BadMessage:
        return b""
    return cut(value, out[2], out[3])


def _star() -> ContactValue:
    made = ContactValue.__new__(ContactValue)
    made._text = b"*"
    made._start = made._display_start = made._display_end = made._tag_start = made._tag_end = 0
    made._end = made._params_start = 1
    made.uri = made.instance = b""
    made.star = True
    made.bracketed = False
    made.q = made.expires = made.reg_id = -1
    return made


def _contact_from(data: bytes, p: bytes, out: list[int]) -> ContactValue:
    made = ContactValue.__new__(ContactValue)
    _fill(made, data, out)
    made.star = False
    made.q = _q_value(p, out[10], out[11]) if out[10] >= 0 else -1
    made.expires = -1
    if out[12] >= 0:
        made.expires = scan_number(p, out[12], out[13], _MAX_EXPIRES)
        if made.expires < 0:
            made.expires = MALFORMED_EXPIRES
    made.instance = unquote(cut(data, out[14], out[15])) if out[14] >= 0 else b""
    made.reg_id = -1
    if out[16] >= 0:
        # RFC 5626 §9: 1 to 2^31-1.
        made.reg_id = scan_number(p, out[16], out[17], 2147483647)
        if made.reg_id < 1:
            raise BadMessage("Contact: bad reg-id")
    return made


def _q_value(p: bytes, start: int, end: int) -> int:
    """A q in thousandths: 0, 1, 0.ddd or 1.000 (§25.1 qvalue)."""
    length = end - start
    if length < 1 or length > 5 or (p[start] != ord("0") and p[start] != ord("1")):
        raise BadMessage("Contact: bad q")
    q = 1000 if p[start] == ord("1") else 0
    if length == 1:
        return q
    if p[start + 1] != ord("."):
        raise BadMessage("Contact: bad q")
    weight = 100
    for i in range(start + 2, end):
        if p[i] < ord("0") or p[i] > ord("9"):
            raise BadMessage("Contact: bad q")
        q += (p[i] - 48) * weight
        weight //= 10
    if q > 1000:
        raise BadMessage("Contact: bad q")
    return q


def parse_expires(value: bytes) -> int:
    """Seconds; a malformed value counts as 3600 (§20.19)."""
    p = value
    if not cython.compiled:
        p = value + b"\0"
    number = scan_number(p, 0, len(value), _MAX_EXPIRES)
    return MALFORMED_EXPIRES if number < 0 else number


def parse_cseq(value: bytes) -> tuple[int, str]:
    """The number and the method of a CSeq."""
    p = value
    if not cython.compiled:
        p = value + b"\0"
        out = [0] * 24
    scan_cseq(p, 0, len(value), out)
    return out[0], value[out[1] : out[2]].decode("ascii")


def split_commas(value: bytes) -> list[bytes]:
    """The values of a comma-separated header line, quotes and <> respected, each trimmed."""
    p = value
    if not cython.compiled:
        p = value + b"\0"
    end = len(value)
    found: list[bytes] = []
    start = i = 0
    in_brackets = False
    while i < end:
        if p[i] == ord('"') and not in_brackets:
            i = skip_quoted(p, i, end)
            continue
        if p[i] == ord("<"):
            in_brackets = True
        elif p[i] == ord(">"):
            in_brackets = False
        elif p[i] == ord(",") and not in_brackets:
            found.append(value[start:i].strip())
            start = i + 1
        i += 1
    found.append(value[start:].strip())
    return [part for part in found if part]
