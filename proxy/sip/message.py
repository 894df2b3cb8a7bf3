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
    REQUIRED_BITS,
    SINGLETON_BITS,
    TO,
    VIA,
    header_id,
)
from proxy.sip.headers import NameAddr, Via, parse_name_addr, parse_via, split_commas
from proxy.sip.uri import Uri, parse_uri

if not cython.compiled:
    from proxy.sip.grammar import (
        PRINTABLE,
        TOKEN,
        cut,
        header_id_at,
        name_length,
        same_name,
        scan_number,
        span_printable,
        word_at,
    )
    from proxy.sip.lines import (
        check_call_id,
        method_name,
        skip_name,
        skip_odd_byte,
        skip_request_uri,
        skip_status_line,
        skip_version,
        without_name_space,
    )
    from proxy.sip.values import scan_cseq, scan_parties, scan_via

_DATAGRAM_BYTES = bounds.DATAGRAM_BYTES
_HEADER_LINES = bounds.HEADER_LINES
_HEADER_LINE_BYTES = bounds.HEADER_LINE_BYTES
_MAX_FORWARDS = bounds.MAX_FORWARDS
_VIA_HOPS = bounds.VIA_HOPS
_METHOD_BYTES = 64
_BRANCH_IS = int.from_bytes(b";branch=", "little")
_FOLD = re.compile(rb"[ \t]*\r\n[ \t]+")


@cython.no_gc
@cython.freelist(64)
@cython.cclass
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
    transaction_key: bytes
    max_forwards: int
    content_length: int
    start: int
    first_line_end: int
    headers_end: int
    body_start: int
    body_end: int
    header_count: int
    via_count: int
    header_id: list[int]
    name_start: list[int]
    value_start: list[int]
    value_end: list[int]
    via_at: list[int]
    from_at: list[int]
    to_at: list[int]
    _next: list[int]
    _first: list[int]
    _last: list[int]
    _seen: int
    _uri: Uri | None
    _via: Via | None

    def _begin(self, data: bytes) -> int:
        self.data = data
        self.method = self.cseq_method = ""
        self.request_uri = self.branch = self.transaction_key = b""
        self.max_forwards = self.content_length = -1
        if not cython.compiled:
            self._uri = self._via = None
            self.status = self.cseq = self.header_count = self._seen = 0
            self.header_id, self.name_start, self.value_start = [0] * 128, [0] * 129, [0] * 128
            self.value_end, self._next = [0] * 128, [0] * 128
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
        text = cut(self.data, self.value_start[index], self.value_end[index])
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
            self.name_start[index + 1],
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
        return [self.value(index) for index in self.lines_named(name)]

    def lines_named(self, name: bytes) -> list[int]:
        """The index of each line of any header, by its name in any case."""
        wanted = header_id(name)
        found = []
        for index in range(self.header_count):
            if wanted:
                matches = self.header_id[index] == wanted
            else:
                start, end = self.name_start[index], self.value_start[index]
                own = cut(self.data, start, end).rstrip(b": \t\r\n")
                matches = own.lower() == name.lower()
            if matches:
                found.append(index)
        return found

    @property
    def body(self) -> bytes:
        """Content-Length bytes after the headers; all of them when it is absent (§18.3)."""
        return cut(self.data, self.body_start, self.body_end)

    @property
    def reason(self) -> bytes:
        """The reason phrase of a response."""
        return b"" if self.is_request else cut(self.data, self.start + 12, self.first_line_end - 2)

    @property
    def via(self) -> Via:
        """The topmost Via value."""
        if self._via is None:
            self._via = parse_via(cut(self.data, self.via_at[14], self.via_at[13]))
        return self._via

    def sent_by(self) -> bytes:
        """Host and port of the topmost Via as they stand there."""
        return cut(self.data, self.via_at[2], self.via_at[12])

    def sent_by_and_branch(self) -> bytes:
        """What tells this request from every other (RFC 3261 §17.2.3), as most Vias write it."""
        at = self.via_at[5]
        sent_by_end = self.via_at[12]
        if at == sent_by_end + 8 and word_at(self.data, sent_by_end) == _BRANCH_IS:
            return cut(self.data, self.via_at[2], self.via_at[6])
        return self.sent_by() + b";branch=" + self.branch

    def sent_by_port(self) -> int:
        """The port of the topmost Via, 0 when it names none."""
        return self.via_at[4]

    def wants_rport(self) -> bool:
        """Whether the sender asked for symmetric responses (RFC 3581 §3)."""
        return self.via_at[9] >= 0

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
    def from_uri(self) -> bytes:
        """The URI of the From header."""
        return cut(self.data, self.from_at[2], self.from_at[3])

    @property
    def to_uri(self) -> bytes:
        """The URI of the To header."""
        return cut(self.data, self.to_at[2], self.to_at[3])

    @property
    def from_addr(self) -> NameAddr:
        """The From header."""
        return parse_name_addr(self.value(self._first[FROM] - 1))

    @property
    def to_addr(self) -> NameAddr:
        """The To header."""
        return parse_name_addr(self.value(self._first[TO] - 1))

    def __repr__(self) -> str:
        line = cut(self.data, self.start, self.first_line_end - 2)
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
    if p[i] | 32 == ord("s") and same_name(p, i, min(i + 4, end), b"sip/"):
        made.is_request = False
        i = skip_status_line(p, i, end)
        made.status = scan_number(p, made.start + 8, made.start + 11, 699)
    else:
        i = _read_request_line(made, p, i, end)
    made.first_line_end = i
    i = _read_headers(made, p, i, end)
    if i < 0:
        return parse(without_name_space(data, made.start))
    made.headers_end = i
    made.body_start = i + 2
    made.body_end = end
    _read_required(made, p)
    _read_numbers(made, p)
    return made


def _read_request_line(made: Message, p: bytes, start: int, end: int) -> int:
    """Method SP Request-URI SP SIP-Version CRLF, single spaces (§7.1)."""
    i = start
    while TOKEN[p[i]]:
        i += 1
    if i == start or i - start > _METHOD_BYTES or p[i] != ord(" "):
        raise BadMessage("The first line has no method")
    made.is_request = True
    made.method = method_name(p, start, i, made.data)
    i += 1
    uri_start = i
    i = skip_request_uri(p, i, end)
    made.request_uri = cut(made.data, uri_start, i)
    i = skip_version(p, i + 1, end)
    if p[i] != ord("\r") or p[i + 1] != ord("\n"):
        raise BadMessage("The first line does not end in SIP/2.0 CRLF")
    return i + 2


def _read_headers(made: Message, p: bytes, i: int, end: int) -> int:
    """Every header line; the offset of the blank line, or -1 for white space before a colon."""
    count = seen = 0
    one = 1  # of 64 bits
    while p[i] != ord("\r"):
        start = i
        length = name_length(p, i, end)
        number = header_id_at(p, i, i + length, end) if length else 0
        i += length
        if number == 0:
            i = skip_name(p, start, end)
            if i < 0:
                return -1
            number = header_id_at(p, start, i, end)
        if count == _HEADER_LINES:
            raise BadMessage("Too many header lines")
        i += 1
        while p[i] == 32 or p[i] == 9:
            i += 1
        value = i
        while True:
            i = span_printable(p, i, end, PRINTABLE)
            if p[i] == ord("\r") and p[i + 1] == ord("\n") and p[i + 2] != 32 and p[i + 2] != 9:
                break
            at = i
            i = skip_odd_byte(p, value, at, end)
            if at == value and p[at] == ord("\r"):
                value = i
        at = i
        while p[at - 1] == 32 or p[at - 1] == 9:
            at -= 1
        i += 2
        made.header_id[count] = number
        made.name_start[count] = start
        made.value_start[count] = value
        made.value_end[count] = max(at, value)
        if i - start > _HEADER_LINE_BYTES:
            raise BadMessage("A header line is too long")
        count += 1
        if number:
            if made._first[number]:
                _note_again(made, number, count)
            else:
                made._first[number] = count
                seen |= one << number
            made._last[number] = count
    made.header_count = count
    made.name_start[count] = i  # a line ends where the next one starts
    made._seen = seen
    if p[i + 1] != ord("\n"):
        raise BadMessage("A CR without LF")
    return i


def _note_again(made: Message, number: int, count: int) -> int:
    """Chain the line to the one before of its kind; some there may be once only."""
    if (SINGLETON_BITS >> number) & 1:
        raise BadMessage(f"{NAMES[number].decode('ascii')} twice")
    made._next[made._last[number] - 1] = count
    return 0


def _read_required(made: Message, p: bytes) -> int:
    """The five headers of every message (§8.1.1): each there, each well-formed."""
    if made._seen & REQUIRED_BITS != REQUIRED_BITS:
        for number in REQUIRED:
            if made._first[number] == 0:
                raise BadMessage(f"{NAMES[number].decode('ascii')} is missing")
    start, end = made.value_start, made.value_end
    index = made._first[CALL_ID] - 1
    made.call_id = cut(made.data, start[index], end[index])
    check_call_id(p, start[index], end[index])
    _read_vias(made, p)
    at = made._first[FROM] - 1
    to = made._first[TO] - 1
    scan_parties(p, start[at], end[at], made.from_at, start[to], end[to], made.to_at)
    made.from_tag = cut(made.data, made.from_at[6], made.from_at[7])
    made.to_tag = cut(made.data, made.to_at[6], made.to_at[7])
    return _read_cseq(made, p)


def _read_vias(made: Message, p: bytes) -> int:
    """The topmost Via to `via_at`; the others must be readable for those they were made by."""
    if not cython.compiled:
        out = [0] * 24
    index = made._first[VIA] - 1
    end = made.value_end[index]
    i = scan_via(p, made.value_start[index], end, made.via_at)
    if made.via_at[5] >= 0:
        made.branch = cut(made.data, made.via_at[5], made.via_at[6])
    count = 1
    while True:
        while i < end:
            i = scan_via(p, i + 1, end, out)
            count += 1
        index = made._next[index] - 1
        if index < 0:
            break
        end = made.value_end[index]
        i = made.value_start[index] - 1
    # More hops than Max-Forwards allows are a loop, or made to look like one.
    made.via_count = count
    if count > _VIA_HOPS:
        raise BadMessage("Too many Via", 483)
    return 0


def _read_cseq(made: Message, p: bytes) -> int:
    index = made._first[CSEQ] - 1
    if not cython.compiled:
        out = [0] * 24
    scan_cseq(p, made.value_start[index], made.value_end[index], out)
    made.cseq = out[0]
    if out[2] - out[1] > _METHOD_BYTES:
        raise BadMessage("CSeq: the method is too long")
    made.cseq_method = method_name(p, out[1], out[2], made.data)
    if not made.is_request:
        made.method = made.cseq_method
    elif made.method != made.cseq_method:  # §8.1.1.5
        raise BadMessage("CSeq: the method is not the request's")
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
