"""RFC 3261 §25.1 as scanners over bytes: they find where the parts of a value lie, copy nothing.

Every scanner takes the bytes, a start and an end inside a header value or URI. The caller has
checked that CR and LF occur in it only as folds, so both count as white space here. Compiled,
`p` is a bare pointer: each read is guarded by `end`, or by the NUL that ends every bytes object
(the Python run appends one, and would raise IndexError where C would over-read).
"""

from __future__ import annotations

import cython

from proxy.errors import BadMessage, BadUri
from proxy.sip.header_ids import COMPACT, NAMES, header_id

_ALNUM = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_PRINTABLE = bytes(range(0x21, 0x7F))


def _table(members: bytes) -> bytes:
    """256 flags, one per byte value."""
    return bytes(1 if value in members else 0 for value in range(256))


def _without(members: bytes, excluded: bytes) -> bytes:
    return bytes(value for value in members if value not in excluded)


_TOKEN_TABLE = _table(_ALNUM + b"-.!%*_+`'~")
_LWS_TABLE = _table(b" \t\r\n")
_DIGIT_TABLE = _table(b"0123456789")
_HEX_TABLE = _table(b"0123456789abcdefABCDEF")
# hostname = alphanum - . ; the underscore is in too many live networks to refuse.
_HOST_TABLE = _table(_ALNUM + b"-._")
# What generic-param leaves bare: token / host. Wider here (base64, URIs), never a separator.
_PARAM_TABLE = _table(_without(_PRINTABLE, b'",;<>\\'))
# word of RFC 3261 §25.1 and what phones put there besides; comma and semicolon would be ambiguous.
_CALL_ID_TABLE = _table(_without(_PRINTABLE, b",;"))
# Any URI between < and >, and a Request-URI. No quote, no angle bracket, no space, no 8-bit byte.
_URI_TABLE = _table(_without(_PRINTABLE, b'<>"'))
# An unquoted display name is *(token LWS); 8-bit text and a few marks seen in the field as well.
_DISPLAY_TABLE = _table(_ALNUM + b"-.!%*_+`'~ \t\r\n@()/&#$=" + bytes(range(0x80, 0x100)))
_PRINTABLE_TABLE = _table(b" " + _PRINTABLE)
_LOWER_TABLE = bytes(value + 32 if 65 <= value <= 90 else value for value in range(256))

TOKEN = _TOKEN_TABLE
LWS = _LWS_TABLE
DIGIT = _DIGIT_TABLE
HEX = _HEX_TABLE
HOST = _HOST_TABLE
PARAM = _PARAM_TABLE
CALL_ID_CHARS = _CALL_ID_TABLE
URI = _URI_TABLE
DISPLAY = _DISPLAY_TABLE
PRINTABLE = _PRINTABLE_TABLE
LOWER = _LOWER_TABLE

# Compiled, a literal of more than 31 bits would be a Python number.
_BLANKS = 0x2020202020202020
_SIP = int.from_bytes(b"sip:", "little")
_SIP_CASES = 0x202020  # the letters of it
_SIP_BYTES = 0xFFFFFFFF

# Header names: a perfect hash over length, first and last letter (a test proves it perfect).
_STRIDE = 32


def _name_tables() -> tuple[bytes, bytes, bytes, bytes, bytes]:
    slots, compact, lengths = bytearray(256), bytearray(256), bytearray(64)
    texts, cases = bytearray(64 * _STRIDE), bytearray(64 * _STRIDE)
    for number, name in NAMES.items():
        lower = name.lower()
        slots[(len(lower) * 2 + lower[0] * 43 + lower[-1] * 62) & 255] = number
        lengths[number] = len(lower)
        at = number * _STRIDE
        texts[at : at + len(lower)] = lower
        cases[at : at + len(lower)] = bytes(32 if letter > 64 else 0 for letter in lower)
    for letter, number in COMPACT.items():
        compact[letter[0]] = compact[letter.upper()[0]] = number
    return bytes(slots), bytes(lengths), bytes(texts), bytes(cases), bytes(compact)


_SLOT_TABLE, _LENGTH_TABLE, _TEXT_TABLE, _CASE_TABLE, _COMPACT_TABLE = _name_tables()
NAME_SLOT = _SLOT_TABLE
NAME_LENGTH = _LENGTH_TABLE
NAME_TEXT = _TEXT_TABLE
NAME_CASE = _CASE_TABLE
NAME_COMPACT = _COMPACT_TABLE


if not cython.compiled:

    def find_byte(p: bytes, start: int, end: int, byte: int) -> int:
        """The index of a byte in p[start:end], or -1."""
        return p.find(byte, start, end)

    def same_text(p: bytes, start: int, end: int, text: bytes) -> bool:
        """Whether p[start:end] is `text`."""
        return p[start:end] == text

    def same_bytes(p: bytes, i: int, other: bytes, at: int, length: int) -> bool:
        """Whether p[i:i + length] is other[at:at + length]."""
        return p[i : i + length] == other[at : at + length]

    def find_text(text: bytes, part: bytes) -> int:
        """Where `part`, which is not empty, occurs first in `text`, or -1."""
        return text.find(part)

    def holds(text: bytes, part: bytes) -> bool:
        """Whether `part`, which is not empty, occurs in `text`."""
        return part in text

    def word_at(p: bytes, i: int) -> int:
        """The eight bytes from i on as a number, the lowest first."""
        return int.from_bytes(p[i : i + 8], "little")

    def name_at(p: bytes, start: int, end: int, limit: int) -> int:
        """A name of at most eight token characters as a number, in lower case; 0 for a longer."""
        return 0 if end - start > 8 else int.from_bytes(p[start:end].lower(), "little")

    def name_length(p: bytes, i: int, end: int) -> int:
        """How long the name at p[i] is, if a colon ends it within sixteen bytes; else 0."""
        return max(p.find(b":", i, min(i + 16, end)) - i, 0)

    def span(p: bytes, i: int, end: int, members: bytes) -> int:
        """The first index from i, `end` at most, that holds no member."""
        while i < end and members[p[i]]:
            i += 1
        return i

    def header_id_at(p: bytes, start: int, end: int, limit: int) -> int:
        """The number of the header name p[start:end], or 0; `limit` is where the message ends."""
        return header_id(p[start:end])

    span_printable = span_uri = span_call_id = span_param = span_host = span

    def skip_lws(p: bytes, i: int, end: int) -> int:
        """The first index from i that is not linear white space."""
        while i < end and LWS[p[i]]:
            i += 1
        return i


def cut(data: bytes, start: int, end: int) -> bytes:
    """data[start:end]: compiled, a slice of a pointer, which needs no slice object."""
    p = data
    return p[start:end] if start < end else b""


def scan_number(p: bytes, start: int, end: int, limit: int) -> int:
    """The decimal number that is exactly p[start:end], or -1: no sign, 1-10 digits, <= limit."""
    if start == end or end - start > 10:
        return -1
    value = 0
    for i in range(start, end):
        digit = p[i] - 48
        if not 0 <= digit <= 9:
            return -1
        value = value * 10 + digit
    return value if value <= limit else -1


def skip_quoted(p: bytes, i: int, end: int) -> int:
    """The index after the quoted string that opens at i (RFC 3261 §25.1 quoted-string)."""
    i += 1
    while i < end:
        if p[i] == ord('"'):
            return i + 1
        i += 2 if p[i] == ord("\\") else 1
    raise BadMessage("A quoted string does not end")


def scan_param(p: bytes, i: int, end: int, out: list[int]) -> int:
    """One parameter after its ';': out[20:24] = name start, end, value start (-1 none), end.

    Returns the index of what follows it and its white space.
    """
    start = i = skip_lws(p, i, end)
    while TOKEN[p[i]]:  # ends at the NUL behind the bytes, at the latest
        i += 1
    i = min(i, end)
    if i == start:
        raise BadMessage("A parameter without a name")
    out[20] = start
    out[21] = i
    out[22] = out[23] = -1
    i = skip_lws(p, i, end)
    if i < end and p[i] == ord("="):
        i = skip_lws(p, i + 1, end)
        out[22] = i
        quoted = i < end and p[i] == ord('"')
        i = skip_quoted(p, i, end) if quoted else span_param(p, i, end, PARAM)
        out[23] = i
        i = skip_lws(p, i, end)
    return i


def same_name(p: bytes, start: int, end: int, name: bytes) -> bool:
    """Whether p[start:end] is `name` (given in lower case) in any case."""
    if end - start != len(name):
        return False
    other = name
    index = 0
    while start + index < end and LOWER[p[start + index]] == other[index]:
        index += 1
    return start + index == end


def valid_ipv4(p: bytes, start: int, end: int) -> bool:
    """Dotted decimal without leading zeros: 010 is eight to some parsers and ten to others."""
    i = start
    for octet in range(4):
        if octet:
            if i >= end or p[i] != ord("."):
                return False
            i += 1
        first = i
        value = 0
        while i < end and i - first < 3 and DIGIT[p[i]]:
            value = value * 10 + (p[i] - 48)
            i += 1
        if i == first or value > 255 or (p[first] == ord("0") and i - first > 1):
            return False
    return i == end


def valid_ipv6(p: bytes, start: int, end: int) -> bool:
    """RFC 4291 §2.2 text, brackets off. No zone: it means nothing on another host.

    RFC 5118 §4.10 asks to bear with a third colon before an embedded IPv4 address.
    """
    groups = 0
    compressed = False
    i = start
    if end - start >= 2 and p[i] == ord(":") and p[i + 1] == ord(":"):
        compressed = True
        i += 2
    while i < end:
        if compressed and p[i] == ord(":") and p[i - 1] == ord(":"):
            return groups < 6 and valid_ipv4(p, i + 1, end)
        first = i
        while i < end and HEX[p[i]]:
            i += 1
        if i < end and p[i] == ord("."):
            return valid_ipv4(p, first, end) and (groups == 6 or (compressed and groups < 6))
        if i == first or i - first > 4:
            return False
        groups += 1
        if i == end:
            break
        if p[i] != ord(":") or i + 1 == end:
            return False
        i += 1
        if p[i] == ord(":"):
            if compressed:
                return False
            compressed = True
            i += 1
    return groups == 8 or (compressed and groups < 8)


def scan_host(p: bytes, i: int, end: int) -> int:
    """The index after a host: name, IPv4 address or [IPv6 address] (RFC 3261 §25.1)."""
    first = i
    if i < end and p[i] == ord("["):
        while i < end and p[i] != ord("]"):
            i += 1
        if i == end or not valid_ipv6(p, first + 1, i):
            raise BadMessage("A bad IPv6 address")
        return i + 1
    i = span_host(p, i, end, HOST)
    if i == first:
        raise BadMessage("A host is missing")
    return i


def skip_digits(p: bytes, i: int, end: int) -> int:
    """The first index from i that is not a digit."""
    while i < end and DIGIT[p[i]]:
        i += 1
    return i


def port_number(p: bytes, start: int, end: int) -> int:
    """The port p[start:end], 1 to 65535."""
    port = scan_number(p, start, end, 65535)
    if port < 1:
        raise BadMessage("A bad port")
    return port


def check_scheme(p: bytes, start: int, end: int) -> int:
    """The index after `scheme:`; a URI without one is an error."""
    i = start
    if start + 8 <= end and (word_at(p, start) | _SIP_CASES) & _SIP_BYTES == _SIP:
        return start + 4
    while i < end and TOKEN[p[i]]:
        i += 1
    if i == start or i + 1 >= end or p[i] != ord(":"):
        raise BadUri("A URI without a scheme")
    return i + 1
