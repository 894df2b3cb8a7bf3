"""A message as offsets into its datagram (design R6): parsed once, nothing copied per header."""

from __future__ import annotations

import re

import cython

from proxy.errors import BadMessage
from proxy.limits import bounds
from proxy.sip.header_ids import (
    CALL_ID,
    CONTENT_LENGTH,
    CSEQ,
    FROM,
    MAX_FORWARDS,
    NAMES,
    REQUIRED,
    SINGLETONS,
    TO,
    VIA,
    header_id,
)
from proxy.sip.headers import NameAddr, Via, parse_name_addr, parse_via, split_commas
from proxy.sip.uri import Uri, parse_uri

if not cython.compiled:
    from proxy.sip.grammar import (
        CALL_ID_CHARS,
        DIGIT,
        TOKEN,
        URI,
        check_scheme,
        header_id_at,
        same_name,
        scan_number,
    )
    from proxy.sip.values import scan_cseq, scan_name_addr, scan_via

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
_VIA_LINE_BYTES = 14 * bounds.VIA_HOPS  # fewer bytes of Via cannot hold too many values


def _method_tables() -> tuple[bytes, bytes]:
    slots, texts = bytearray(128), bytearray(16 * len(_METHODS))
    for number, method in enumerate(_METHODS[1:], 1):
        slots[(len(method) * 10 + ord(method[0])) & 127] = number
        texts[number * 16 : number * 16 + len(method)] = method.encode()
    return bytes(slots), bytes(texts)


_METHOD_SLOT_TABLE, _METHOD_TEXT_TABLE = _method_tables()
METHOD_SLOT = _METHOD_SLOT_TABLE
METHOD_TEXT = _METHOD_TEXT_TABLE
_SINGLETONS = sum(1 << number for number in SINGLETONS)
_REQUIRED = sum(1 << number for number in REQUIRED)
_DATAGRAM_BYTES = bounds.DATAGRAM_BYTES
_HEADER_LINES = bounds.HEADER_LINES
_HEADER_NAME_BYTES = bounds.HEADER_NAME_BYTES
_HEADER_LINE_BYTES = bounds.HEADER_LINE_BYTES
_REQUEST_LINE_BYTES = bounds.REQUEST_LINE_BYTES
_URI_BYTES = bounds.URI_BYTES
_CALL_ID_BYTES = bounds.CALL_ID_BYTES
_TAG_BYTES = bounds.TAG_BYTES
_MAX_FORWARDS = bounds.MAX_FORWARDS
_VIA_HOPS = bounds.VIA_HOPS
_METHOD_BYTES = 64
_ONE = 1
_FOLD = re.compile(rb"[ \t]*\r\n[ \t]+")
_NAME_SPACE = re.compile(rb"(?m)^([!%*_+`'~.0-9A-Za-z-]+)[ \t]+:")


class Message:
    """One request or response; every offset counts from the first byte of `data`."""

    data: bytes
    is_request: bool
    method: str
    status: int
    request_uri: bytes
    call_id: bytes
    from_tag: bytes
    to_tag: bytes
    cseq: int
    cseq_method: str
    branch: bytes
    max_forwards: int
    content_length: int
    start: int
    first_line_end: int
    headers_end: int
    body_start: int
    body_end: int
    header_count: int
    header_id: list[int]
    name_start: list[int]
    value_start: list[int]
    value_end: list[int]
    line_end: list[int]
    via_at: list[int]
    from_at: list[int]
    to_at: list[int]
    _next: list[int]
    _first: list[int]
    _last: list[int]
    _seen: int
    _via_bytes: int
    _uri: Uri | None

    def _begin(self, data: bytes) -> int:
        self.data = data
        self.method = self.cseq_method = ""
        self.request_uri = self.call_id = self.from_tag = self.to_tag = self.branch = b""
        self.max_forwards = self.content_length = -1
        if not cython.compiled:
            self._uri = None
            self.status = self.cseq = self.header_count = self._seen = self._via_bytes = 0
            self.header_id, self.name_start, self.value_start = [0] * 128, [0] * 128, [0] * 128
            self.value_end, self.line_end, self._next = [0] * 128, [0] * 128, [0] * 128
            self._first, self._last = [0] * 64, [0] * 64
            self.via_at, self.from_at, self.to_at = [0] * 24, [0] * 24, [0] * 24
        return 0

    def first_of(self, header_id: int) -> int:
        """The index of the first line of a header, or -1."""
        return self._first[header_id] - 1 if 0 <= header_id < 64 else -1

    def next_of(self, index: int) -> int:
        """The index of the next line of the same header, or -1."""
        return self._next[index] - 1 if 0 <= index < self.header_count else -1

    def has(self, header_id: int) -> bool:
        """Whether the message has such a header."""
        return 0 <= header_id < 64 and self._first[header_id] != 0

    def value(self, index: int) -> bytes:
        """The value of a header line: trimmed, folds made one space (RFC 3261 §7.3.1)."""
        if not 0 <= index < self.header_count:
            raise IndexError(index)
        text = self.data[self.value_start[index] : self.value_end[index]]
        return _FOLD.sub(b" ", text) if b"\r" in text else text

    def span(self, index: int) -> tuple[int, int, int, int, int]:
        """A header line as (id, name start, value start, value end, line end)."""
        if not 0 <= index < self.header_count:
            raise IndexError(index)
        return (
            self.header_id[index],
            self.name_start[index],
            self.value_start[index],
            self.value_end[index],
            self.line_end[index],
        )

    def header(self, header_id: int) -> bytes | None:
        """The value of the first such header, None when there is none."""
        index = self.first_of(header_id)
        return self.value(index) if index >= 0 else None

    def headers(self, header_id: int) -> list[bytes]:
        """The value of each line of a header."""
        found = []
        index = self.first_of(header_id)
        while index >= 0:
            found.append(self.value(index))
            index = self._next[index] - 1
        return found

    def values(self, header_id: int) -> list[bytes]:
        """The comma-separated values of all lines of a header."""
        return [value for line in self.headers(header_id) for value in split_commas(line)]

    def named(self, name: bytes) -> list[bytes]:
        """The value of each line of any header, by its name in any case."""
        known = header_id(name)
        if known:
            return self.headers(known)
        wanted = name.lower()
        found = []
        for index in range(self.header_count):
            start = self.name_start[index]
            if self.data[start : start + len(wanted) + 1].lower() == wanted + b":":
                found.append(self.value(index))
        return found

    @property
    def body(self) -> bytes:
        """Content-Length bytes after the headers; all of them when it is absent (§18.3)."""
        return self.data[self.body_start : self.body_end]

    @property
    def reason(self) -> bytes:
        """The reason phrase of a response."""
        return b"" if self.is_request else self.data[self.start + 12 : self.first_line_end - 2]

    @property
    def via(self) -> Via:
        """The topmost Via value."""
        return parse_via(self.data[self.via_at[14] : self.via_at[13]])

    @property
    def via_span(self) -> tuple[int, int]:
        """Where the topmost Via value lies in `data`."""
        return self.via_at[14], self.via_at[13]

    @property
    def uri(self) -> Uri:
        """The Request-URI."""
        if self._uri is None:
            self._uri = parse_uri(self.request_uri)
        return self._uri

    @property
    def from_addr(self) -> NameAddr:
        """The From header."""
        return parse_name_addr(self.value(self._first[FROM] - 1))

    @property
    def to_addr(self) -> NameAddr:
        """The To header."""
        return parse_name_addr(self.value(self._first[TO] - 1))

    def __repr__(self) -> str:
        line = self.data[self.start : self.first_line_end - 2]
        return f"Message({line!r}, Call-ID {self.call_id!r})"


def parse(data: bytes) -> Message:
    """The message in a datagram; BadMessage for one that RFC 3261 or a bound forbids."""
    made = Message.__new__(Message)
    made._begin(data)
    p = data
    if not cython.compiled:
        p = data + b"\0"
    end = len(data)
    if end > _DATAGRAM_BYTES:
        raise BadMessage("The message is too large", 513)
    i = 0
    while p[i] == ord("\r") and p[i + 1] == ord("\n"):  # RFC 3261 §7.5
        i += 2
    made.start = i
    if same_name(p, i, min(i + 4, end), b"sip/"):
        i = _read_status_line(made, p, i, end)
    else:
        i = _read_request_line(made, p, i, end)
    made.first_line_end = i
    i = _read_headers(made, p, i, end)
    if i < 0:
        # RFC 3261 §7.3.1 allows white space before the colon and not every parser knows. We go
        # on with a copy without it, so that what is forwarded can be read in one way only.
        return parse(_without_name_space(data, made))
    made.headers_end = i
    made.body_start = i + 2
    made.body_end = end
    _read_required(made, p)
    _read_numbers(made, p)
    return made


def _without_name_space(data: bytes, made: Message) -> bytes:
    head, blank, body = data[made.start :].partition(b"\r\n\r\n")
    line, crlf, fields = head.partition(b"\r\n")
    return line + crlf + _NAME_SPACE.sub(rb"\1:", fields) + blank + body


def _read_version(p: bytes, i: int, end: int) -> int:
    """The index after `SIP/2.0`; 505 for another version of SIP (§7.1, any case)."""
    if same_name(p, i, min(i + 7, end), b"sip/2.0") and not DIGIT[p[i + 7]] and p[i + 7] != 46:
        return i + 7
    if same_name(p, i, min(i + 4, end), b"sip/") and i + 4 < end and DIGIT[p[i + 4]]:
        raise BadMessage("Version Not Supported", 505)
    raise BadMessage("The first line does not end in SIP/2.0")


def _read_request_line(made: Message, p: bytes, start: int, end: int) -> int:
    """Method SP Request-URI SP SIP-Version CRLF, single spaces (§7.1)."""
    i = start
    while TOKEN[p[i]]:
        i += 1
    if i == start or i - start > _METHOD_BYTES or p[i] != ord(" "):
        raise BadMessage("The first line has no method")
    made.is_request = True
    made.method = _method_name(p, start, i, made.data)
    i += 1
    uri_start = i
    while URI[p[i]]:
        i += 1
    if i == uri_start or p[i] != ord(" "):
        raise BadMessage("The Request-URI has a character that must be escaped")
    if i - uri_start > _URI_BYTES:
        raise BadMessage("The Request-URI is too long", 414)
    made.request_uri = made.data[uri_start:i]
    _check_request_uri(p, uri_start, i)
    i = _read_version(p, i + 1, end)
    if p[i] != ord("\r") or p[i + 1] != ord("\n"):
        raise BadMessage("The first line does not end in SIP/2.0 CRLF")
    return i + 2


def _check_request_uri(p: bytes, start: int, end: int) -> int:
    i = check_scheme(p, start, end)
    if p[start] | 32 != ord("s") or p[start + 1] | 32 != ord("i") or p[start + 2] | 32 != ord("p"):
        return 0
    # RFC 3261 §19.1.1 forbids headers here; a '?' before the '@' belongs to the user part.
    question = False
    while i < end:
        if p[i] == ord("?"):
            question = True
        elif p[i] == ord("@"):
            question = False
        i += 1
    if question:
        raise BadMessage("The Request-URI has headers")
    return 0


def _read_status_line(made: Message, p: bytes, start: int, end: int) -> int:
    """SIP-Version SP 3DIGIT SP Reason-Phrase CRLF (§7.2); the second space may be missing."""
    i = _read_version(p, start, end)
    if p[i] != ord(" "):
        raise BadMessage("The status line has no status")
    status = scan_number(p, i + 1, min(i + 4, end), 699)
    i += 4
    if status < 100 or i >= end or (p[i] != ord(" ") and p[i] != ord("\r")):
        raise BadMessage("The status is not 100 to 699")
    made.is_request = False
    made.status = status
    while p[i] >= 32 or p[i] == 9:
        i += 1
    if p[i] != ord("\r") or p[i + 1] != ord("\n"):
        raise BadMessage("The status line does not end in CRLF")
    if i - start > _REQUEST_LINE_BYTES:
        raise BadMessage("The status line is too long")
    return i + 2


def _method_name(p: bytes, start: int, end: int, data: bytes) -> str:
    length = end - start
    number = METHOD_SLOT[(length * 10 + p[start]) & 127]
    if number and length < 16 and METHOD_TEXT[number * 16 + length] == 0:
        at = number * 16
        i = 0
        while i < length and p[start + i] == METHOD_TEXT[at + i]:
            i += 1
        if i == length:
            return _METHODS[number]
    return data[start:end].decode("ascii")


def _read_headers(made: Message, p: bytes, i: int, end: int) -> int:
    """Every header line; the offset of the blank line, or -1 for white space before a colon."""
    count = 0
    while p[i] != ord("\r"):
        start = i
        while TOKEN[p[i]]:
            i += 1
        if p[i] != ord(":") or i == start:
            return _odd_name(p, start, i, end)
        if i - start > _HEADER_NAME_BYTES:
            raise BadMessage("A header name is too long")
        if count == _HEADER_LINES:
            raise BadMessage("Too many header lines")
        number = header_id_at(p, start, i)
        i += 1
        while p[i] == 32 or p[i] == 9:
            i += 1
        made.header_id[count] = number
        made.name_start[count] = start
        made.value_start[count] = i
        while True:
            while 32 <= p[i] < 127:
                i += 1
            if p[i] == ord("\r") and p[i + 1] == ord("\n") and p[i + 2] != 32 and p[i + 2] != 9:
                break
            i = _odd_byte(made, p, i, count, end)
        at = i
        while p[at - 1] == 32 or p[at - 1] == 9:
            at -= 1
        made.value_end[count] = max(at, made.value_start[count])
        i += 2
        made.line_end[count] = i
        if i - start > _HEADER_LINE_BYTES:
            raise BadMessage("A header line is too long")
        count += 1
        made.header_count = count
        if number:
            _note_header(made, number, count)
    if p[i + 1] != ord("\n"):
        raise BadMessage("A CR without LF")
    return i


def _note_header(made: Message, number: int, count: int) -> int:
    """Chain the line to the one before of its kind; some there may be once only."""
    if made._first[number] == 0:
        made._first[number] = count
        made._seen |= _ONE << number
    else:
        if (_SINGLETONS >> number) & 1:
            raise BadMessage(f"{NAMES[number].decode('ascii')} twice")
        made._next[made._last[number] - 1] = count
    made._last[number] = count
    if number == VIA:
        made._via_bytes += made.value_end[count - 1] - made.value_start[count - 1]
    return 0


def _odd_name(p: bytes, start: int, i: int, end: int) -> int:
    """-1 for a name with white space before its colon; the complaint for anything else."""
    if i >= end:
        raise BadMessage("The header fields do not end in a blank line")
    at = i
    while p[at] == 32 or p[at] == 9:
        at += 1
    if i > start and p[at] == ord(":"):
        return -1
    raise BadMessage("A header line without a name and a colon")


def _odd_byte(made: Message, p: bytes, i: int, count: int, end: int) -> int:
    """The index to go on at after a byte of a value that is not plain ASCII text."""
    byte = p[i]
    if byte == ord("\r"):
        return _unfold(made, p, i, count)
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
    elif byte != 9 and not _is_quoted_pair(p, made.value_start[count], i):
        raise BadMessage("A control character")
    return i + 1


def _unfold(made: Message, p: bytes, i: int, count: int) -> int:
    """The index of the text after a fold (§7.3.1)."""
    if p[i + 1] != ord("\n"):
        raise BadMessage("A CR without LF")
    at = i + 2
    while p[at] == 32 or p[at] == 9:
        at += 1
    # To some, a continuation of nothing but white space is the blank line.
    if p[at] == ord("\r") or p[at] == ord("\n"):
        raise BadMessage("A folded line without text")
    if made.value_start[count] == i:
        made.value_start[count] = at
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


def _read_required(made: Message, p: bytes) -> int:
    """The five headers of every message (§8.1.1): each there, each well-formed."""
    if made._seen & _REQUIRED != _REQUIRED:
        for number in REQUIRED:
            if made._first[number] == 0:
                raise BadMessage(f"{NAMES[number].decode('ascii')} is missing")
    index = made._first[CALL_ID] - 1
    made.call_id = made.data[made.value_start[index] : made.value_end[index]]
    _check_call_id(p, made.value_start[index], made.value_end[index])
    index = made._first[VIA] - 1
    scan_via(p, made.value_start[index], made.value_end[index], made.via_at)
    if made.via_at[5] >= 0:
        made.branch = made.data[made.via_at[5] : made.via_at[6]]
    if made._via_bytes > _VIA_LINE_BYTES or made.header_count > _VIA_HOPS:
        _count_vias(made)
    index = made._first[FROM] - 1
    _read_address(p, made.value_start[index], made.value_end[index], made.from_at, "From")
    if made.from_at[6] >= 0:
        made.from_tag = made.data[made.from_at[6] : made.from_at[7]]
    index = made._first[TO] - 1
    _read_address(p, made.value_start[index], made.value_end[index], made.to_at, "To")
    if made.to_at[6] >= 0:
        made.to_tag = made.data[made.to_at[6] : made.to_at[7]]
    return _read_cseq(made, p)


def _check_call_id(p: bytes, start: int, end: int) -> int:
    if start == end or end - start > _CALL_ID_BYTES:
        raise BadMessage("Call-ID: empty or too long")
    for i in range(start, end):
        if not CALL_ID_CHARS[p[i]]:
            raise BadMessage("Call-ID: a character that it may not hold")
    return 0


def _read_address(p: bytes, start: int, end: int, out: list[int], name: str) -> int:
    """From or To: one address and a tag of reasonable length."""
    try:
        if scan_name_addr(p, start, end, out) != end:
            raise BadMessage("more than one address")
    except BadMessage as error:
        raise BadMessage(f"{name}: {error.reason}", error.status) from None
    if out[6] >= 0 and out[7] - out[6] > _TAG_BYTES:
        raise BadMessage(f"{name}: the tag is too long")
    return 0


def _read_cseq(made: Message, p: bytes) -> int:
    index = made._first[CSEQ] - 1
    if not cython.compiled:
        out = [0] * 24
    scan_cseq(p, made.value_start[index], made.value_end[index], out)
    made.cseq = out[0]
    if out[2] - out[1] > _METHOD_BYTES:
        raise BadMessage("CSeq: the method is too long")
    made.cseq_method = _method_name(p, out[1], out[2], made.data)
    if not made.is_request:
        made.method = made.cseq_method
    elif made.method != made.cseq_method:  # §8.1.1.5
        raise BadMessage("CSeq: the method is not the request's")
    return 0


def _count_vias(made: Message) -> int:
    """More hops than Max-Forwards allows are a loop, or made to look like one."""
    count = 0
    for line in made.headers(VIA):
        count += len(split_commas(line))
    if count > _VIA_HOPS:
        raise BadMessage("Too many Via", 483)
    return 0


def _read_numbers(made: Message, p: bytes) -> int:
    index = made._first[MAX_FORWARDS] - 1
    if index >= 0:
        number = scan_number(p, made.value_start[index], made.value_end[index], _MAX_FORWARDS)
        if number < 0:
            raise BadMessage("Max-Forwards: not 0 to 255")
        made.max_forwards = number
    index = made._first[CONTENT_LENGTH] - 1
    if index >= 0:
        number = scan_number(p, made.value_start[index], made.value_end[index], _DATAGRAM_BYTES)
        # §18.3: a request with less body than announced is refused, a response dropped.
        if number < 0 or number > made.body_end - made.body_start:
            raise BadMessage("Content-Length: not a number, or more than there is")
        made.content_length = number
        made.body_end = made.body_start + number
    return 0
