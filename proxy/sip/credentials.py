"""The credentials of Authorization and Proxy-Authorization (RFC 3261 §22, RFC 7616, RFC 8760).

Everything in them comes from whoever wants to get in. A value with two readings is refused, so
that nobody behind us, and no database, can understand another user than we have checked.
"""

from __future__ import annotations

import cython

from proxy.errors import BadMessage
from proxy.limits import bounds
from proxy.sip.digest_algorithms import NAMES, SIZES

if not cython.compiled:
    from proxy.sip.grammar import HEX, LWS, cut, same_name, scan_param, skip_lws

_USERNAME_BYTES = bounds.AOR_BYTES
_REALM_BYTES = bounds.AOR_BYTES
_NONCE_BYTES = bounds.NONCE_BYTES
_URI_BYTES = bounds.URI_BYTES
_PARAMS = bounds.PARAMS
_NUMBERS = {name.lower(): number for number, name in NAMES.items()}
_SIZES = SIZES
_QOPS = {b"auth": 1, b"auth-int": 2}

# The parameters we read, by position in `found`.
_USERNAME, _REALM, _NONCE, _URI, _RESPONSE, _ALGORITHM = 0, 1, 2, 3, 4, 5
_CNONCE, _OPAQUE, _QOP, _NC, _OTHER_NAME = 6, 7, 8, 9, 10
_WORDS = (
    *(b"username", b"realm", b"nonce", b"uri", b"response", b"algorithm"),
    *(b"cnonce", b"opaque", b"qop", b"nc", b"username*"),
)


@cython.no_gc
@cython.freelist(16)
@cython.cclass
class Credentials:
    """One Digest credential; texts without their quotes, `response` in lower case."""

    __slots__ = (
        "algorithm",
        "cnonce",
        "nc",
        "nc_text",
        "nonce",
        "qop",
        "qop_text",
        "realm",
        "response",
        "uri",
        "username",
    )

    username: bytes
    realm: bytes
    nonce: bytes
    uri: bytes
    response: bytes  # empty in the first REGISTER of an IMS phone (3GPP TS 24.229 §5.1.1.2)
    algorithm: int  # 0: one that we do not know
    qop: int  # 0 none (RFC 2069), 1 auth, 2 auth-int
    qop_text: bytes
    nc: int
    nc_text: bytes
    cnonce: bytes


def parse_credentials(value: bytes) -> Credentials | None:
    """The credentials of one header line; None for another scheme than Digest, which is ignored."""
    p = value
    if not cython.compiled:
        p = value + b"\0"
        out = [0] * 24
    end = len(value)
    if not same_name(p, 0, min(6, end), b"digest") or (end > 6 and not LWS[p[6]]):
        return None
    found: list[bytes | None] = [None] * 11
    count = 0
    i = skip_lws(p, 6, end)
    while i < end:
        if p[i] == ord(","):  # an empty element of a list (RFC 7230 §7) is nothing
            i = skip_lws(p, i + 1, end)
            continue
        count += 1
        if count > _PARAMS:
            raise BadMessage("Credentials with too many parameters")
        i = scan_param(p, i, end, out)
        if out[22] < 0 or out[22] == out[23]:
            raise BadMessage("Credentials with a parameter without a value")
        if i < end and p[i] != ord(","):
            raise BadMessage("Credentials with something between two parameters")
        slot = _slot_of(p, out[20], out[21])
        if slot < 0:
            continue
        if found[slot] is not None:
            raise BadMessage("Credentials with a parameter twice")
        found[slot] = _text(value, p, out[22], out[23])
    return _credentials(found)


def _slot_of(p: bytes, start: int, end: int) -> int:
    """The position of a parameter name in `found`, -1 for one that we do not read."""
    length = end - start
    first = p[start] | 32
    slot = -1
    if length == 8:
        slot = _USERNAME if first == ord("u") else _RESPONSE
    elif length == 5:
        slot = _REALM if first == ord("r") else _NONCE
    elif length == 3:
        slot = _URI if first == ord("u") else _QOP
    elif length == 6:
        slot = _CNONCE if first == ord("c") else _OPAQUE
    elif length == 9:
        slot = _ALGORITHM if first == ord("a") else _OTHER_NAME
    elif length == 2:
        slot = _NC
    return slot if slot >= 0 and same_name(p, start, end, _WORDS[slot]) else -1


def _text(value: bytes, p: bytes, start: int, end: int) -> bytes:
    """A parameter's text. A quoted-pair means one thing to some parsers and another to others."""
    if p[start] == ord('"'):
        text = cut(value, start + 1, end - 1)
        if text.find(b"\\") >= 0:
            raise BadMessage("Credentials with a backslash")
        return text
    return cut(value, start, end)


def _credentials(found: list[bytes | None]) -> Credentials:
    """What the parameters say together."""
    made = Credentials.__new__(Credentials)
    if found[_OTHER_NAME] is not None:  # RFC 7616 §3.4; not in SIP (RFC 8760 §2.7)
        raise BadMessage("Credentials with a username*")
    made.username = _required(found, _USERNAME, "username", _USERNAME_BYTES)
    made.realm = _required(found, _REALM, "realm", _REALM_BYTES)
    made.nonce = _required(found, _NONCE, "nonce", _NONCE_BYTES)
    made.uri = _required(found, _URI, "uri", _URI_BYTES)
    made.response = _required(found, _RESPONSE, "response", 64).lower()
    if not made.username:
        raise BadMessage("Credentials with an empty username")
    _check_username(made.username)
    algorithm = found[_ALGORITHM]
    made.algorithm = 1 if algorithm is None else _NUMBERS.get(algorithm.lower(), 0)
    if made.response and made.algorithm:
        _check_hex(made.response, _SIZES[made.algorithm], "response")
    _read_qop(made, found)
    return made


def _required(found: list[bytes | None], slot: int, name: str, limit: int) -> bytes:
    text = found[slot]
    if text is None:
        raise BadMessage(f"Credentials without a {name}")
    if len(text) > limit:
        raise BadMessage(f"Credentials with a {name} that is too long")
    return text


def _check_username(username: bytes) -> int:
    """A name that every database reads as we do: UTF-8 without control characters."""
    p = username
    if not cython.compiled:
        p = username + b"\0"
    for i in range(len(username)):
        if p[i] < 32 or p[i] == 127:
            raise BadMessage("Credentials with a control character in the username")
    if not username.isascii():
        try:
            username.decode()
        except UnicodeDecodeError:
            raise BadMessage("Credentials with a username that is not UTF-8") from None
    return 0


def _check_hex(text: bytes, size: int, name: str) -> int:
    p = text
    if not cython.compiled:
        p = text + b"\0"
    if len(text) != size:
        raise BadMessage(f"Credentials with a {name} of the wrong length")
    for i in range(size):
        if not HEX[p[i]]:
            raise BadMessage(f"Credentials with a {name} that is not hexadecimal")
    return 0


def _read_qop(made: Credentials, found: list[bytes | None]) -> int:
    """qop brings nc and cnonce along (RFC 7616 §3.4); without it there is neither."""
    qop = found[_QOP]
    made.qop = made.nc = 0
    made.qop_text = made.nc_text = made.cnonce = b""
    if qop is None:
        return 0
    made.qop_text = qop
    made.qop = _QOPS.get(qop.lower(), 0)
    if made.qop == 0:
        raise BadMessage("Credentials with a qop that is neither auth nor auth-int")
    made.cnonce = _required(found, _CNONCE, "cnonce", _NONCE_BYTES)
    made.nc_text = _required(found, _NC, "nc", 8)
    _check_hex(made.nc_text, 8, "nc")
    made.nc = int(made.nc_text, 16)
    if made.nc == 0:
        raise BadMessage("Credentials with an nc of 0")
    return 0
