"""The first line and the odd places of header lines (RFC 3261 §7), for the parser of messages."""

from __future__ import annotations

import re

import cython

from proxy.errors import BadMessage
from proxy.limits import bounds

if not cython.compiled:
    from proxy.sip.grammar import (
        CALL_ID_CHARS,
        DIGIT,
        TOKEN,
        URI,
        check_scheme,
        find_byte,
        same_bytes,
        same_name,
        scan_number,
        span_call_id,
        span_uri,
        word_at,
    )

_METHODS = (
    "",
    "INVITE",
    "ACK",
    "BYE",
    "CANCEL",
    "REGISTER",
    "OPTIONS",
    "PRACK",
    "UPDATE",
    "INFO",
    "REFER",
    "SUBSCRIBE",
    "NOTIFY",
    "MESSAGE",
    "PUBLISH",
)


def _method_tables() -> tuple[bytes, bytes]:
    slots, texts = bytearray(128), bytearray(16 * len(_METHODS))
    for number, method in enumerate(_METHODS[1:], 1):
        slots[(len(method) * 10 + ord(method[0])) & 127] = number
        texts[number * 16 : number * 16 + len(method)] = method.encode()
    return bytes(slots), bytes(texts)


_METHOD_SLOT_TABLE, _METHOD_TEXT_TABLE = _method_tables()
METHOD_SLOT = _METHOD_SLOT_TABLE
METHOD_TEXT = _METHOD_TEXT_TABLE
_CALL_ID_BYTES = bounds.CALL_ID_BYTES
_URI_BYTES = bounds.URI_BYTES
_HEADER_NAME_BYTES = bounds.HEADER_NAME_BYTES
_REQUEST_LINE_BYTES = bounds.REQUEST_LINE_BYTES
_VERSION = int.from_bytes(b"SIP/2.0 ", "little")
_VERSION_LAST = int.from_bytes(b"SIP/2.0\r", "little")
_NAME_SPACE = re.compile(rb"(?m)^([!%*_+`'~.0-9A-Za-z-]+)[ \t]+:")


def without_name_space(data: bytes, start: int) -> bytes:
    """The message without the white space between its header names and colons.

    RFC 3261 §7.3.1 allows it and not every parser knows (CVE-2020-28361). We go on with a copy,
    so that what is forwarded can be read in one way only.
    """
    head, blank, body = data[start:].partition(b"\r\n\r\n")
    line, crlf, fields = head.partition(b"\r\n")
    return line + crlf + _NAME_SPACE.sub(rb"\1:", fields) + blank + body


def skip_version(p: bytes, i: int, end: int) -> int:
    """The index after `SIP/2.0`; 505 for another version of SIP (§7.1, any case)."""
    if i + 8 <= end and (word_at(p, i) == _VERSION or word_at(p, i) == _VERSION_LAST):
        return i + 7
    if same_name(p, i, min(i + 7, end), b"sip/2.0") and not DIGIT[p[i + 7]] and p[i + 7] != 46:
        return i + 7
    if same_name(p, i, min(i + 4, end), b"sip/") and i + 4 < end and DIGIT[p[i + 4]]:
        raise BadMessage("Version Not Supported", 505)
    raise BadMessage("The first line does not end in SIP/2.0")


def skip_request_uri(p: bytes, start: int, end: int) -> int:
    """The index of the space after the Request-URI."""
    i = span_uri(p, start, end, URI)
    if i == start or p[i] != ord(" "):
        raise BadMessage("The Request-URI has a character that must be escaped")
    if i - start > _URI_BYTES:
        raise BadMessage("The Request-URI is too long", 414)
    _check_request_uri(p, start, i)
    return i


def _check_request_uri(p: bytes, start: int, end: int) -> int:
    i = check_scheme(p, start, end)
    if p[start] | 32 != ord("s") or p[start + 1] | 32 != ord("i") or p[start + 2] | 32 != ord("p"):
        return 0
    # RFC 3261 §19.1.1 forbids headers here; a '?' before the '@' belongs to the user part.
    at = find_byte(p, i, end, ord("?"))
    while at >= 0:
        at = find_byte(p, at, end, ord("@"))
        if at < 0:
            raise BadMessage("The Request-URI has headers")
        at = find_byte(p, at, end, ord("?"))
    return 0


def skip_status_line(p: bytes, start: int, end: int) -> int:
    """SIP-Version SP 3DIGIT SP Reason-Phrase CRLF (§7.2); the second space may be missing."""
    i = skip_version(p, start, end)
    if p[i] != ord(" "):
        raise BadMessage("The status line has no status")
    status = scan_number(p, i + 1, min(i + 4, end), 699)
    i += 4
    if status < 100 or i >= end or (p[i] != ord(" ") and p[i] != ord("\r")):
        raise BadMessage("The status is not 100 to 699")
    while p[i] >= 32 or p[i] == 9:
        i += 1
    if p[i] != ord("\r") or p[i + 1] != ord("\n"):
        raise BadMessage("The status line does not end in CRLF")
    if i - start > _REQUEST_LINE_BYTES:
        raise BadMessage("The status line is too long")
    return i + 2


def method_name(p: bytes, start: int, end: int, data: bytes) -> str:
    """The method p[start:end]: one shared object for each that is known."""
    length = end - start
    number = METHOD_SLOT[(length * 10 + p[start]) & 127]
    at = number * 16
    if (
        number
        and length < 16
        and METHOD_TEXT[at + length] == 0
        and same_bytes(p, start, METHOD_TEXT, at, length)
    ):
        return _METHODS[number]
    return data[start:end].decode("ascii")


def skip_name(p: bytes, start: int, end: int) -> int:
    """The colon after a header name that is unknown, long or no name; -1 for space before it."""
    i = start
    while TOKEN[p[i]]:
        i += 1
    if p[i] != ord(":") or i == start:
        return _check_odd_name(p, start, i, end)
    if i - start > _HEADER_NAME_BYTES:
        raise BadMessage("A header name is too long")
    return i


def _check_odd_name(p: bytes, start: int, i: int, end: int) -> int:
    """-1 for a name with white space before its colon; the complaint for anything else."""
    if i >= end:
        raise BadMessage("The header fields do not end in a blank line")
    at = i
    while p[at] == 32 or p[at] == 9:
        at += 1
    if i > start and p[at] == ord(":"):
        return -1
    raise BadMessage("A header line without a name and a colon")


def skip_odd_byte(p: bytes, start: int, i: int, end: int) -> int:
    """The index to go on at after a byte of a value that is not plain ASCII text."""
    byte = p[i]
    if byte == ord("\r"):
        return _skip_fold(p, i)
    if i >= end:
        raise BadMessage("The header fields do not end in a blank line")
    if byte == ord("\n"):
        raise BadMessage("An LF without CR")
    if byte >= 0x80:
        # Overlong UTF-8 hides ASCII characters from those who compare bytes (RFC 3629 §10).
        after = p[i + 1]
        if 0x80 <= after < 0xC0 and (
            byte == 0xC0
            or byte == 0xC1
            or (byte == 0xE0 and after < 0xA0)
            or (byte == 0xF0 and after < 0x90)
        ):
            raise BadMessage("Overlong UTF-8")
    elif byte != 9 and not _is_quoted_pair(p, start, i):
        raise BadMessage("A control character")
    return i + 1


def _skip_fold(p: bytes, i: int) -> int:
    """The index of the text after a fold (§7.3.1)."""
    if p[i + 1] != ord("\n"):
        raise BadMessage("A CR without LF")
    at = i + 2
    while p[at] == 32 or p[at] == 9:
        at += 1
    # To some, a continuation of nothing but white space is the blank line.
    if p[at] == ord("\r") or p[at] == ord("\n"):
        raise BadMessage("A folded line without text")
    return at


def _is_quoted_pair(p: bytes, start: int, i: int) -> bool:
    """Whether p[i] follows a backslash in a quoted string: there a control may stand (§25.1)."""
    quoted = False
    at = start
    while at < i:
        if p[at] == ord('"'):
            quoted = not quoted
        elif quoted and p[at] == ord("\\"):
            if at + 1 == i:
                return True
            at += 1
        at += 1
    return False


def check_call_id(p: bytes, start: int, end: int) -> int:
    """A Call-ID is one word of bounded length (§25.1 callid, read leniently)."""
    if start == end or end - start > _CALL_ID_BYTES:
        raise BadMessage("Call-ID: empty or too long")
    if span_call_id(p, start, end, CALL_ID_CHARS) < end:
        raise BadMessage("Call-ID: a character that it may not hold")
    return 0
