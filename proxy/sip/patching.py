"""Messages built as pieces of the one that came in (design R6): the rest stays byte for byte."""

from __future__ import annotations

import cython

from proxy.errors import BadMessage
from proxy.sip.address import Address, address_of
from proxy.sip.draft import Draft
from proxy.sip.header_ids import (
    CALL_ID,
    CSEQ,
    FROM,
    MAX_FORWARDS,
    RECORD_ROUTE,
    ROUTE,
    TIMESTAMP,
    TO,
    VIA,
)
from proxy.sip.headers import Via
from proxy.sip.message import Message

if not cython.compiled:
    from proxy.sip.grammar import cut, same_name, same_text, scan_param, skip_lws
    from proxy.sip.values import scan_name_addr

_NUMBERS = [b"%d" % number for number in range(256)]
_CUTS = 160  # more than a message has header lines
_NO_BODY = b"Content-Length: 0\r\n\r\n"
_draft = Draft()
_ECHOED = 1 << VIA | 1 << FROM | 1 << TO | 1 << CALL_ID | 1 << CSEQ
_RECORD_ROUTE_BIT = 1 << RECORD_ROUTE
_TIMESTAMP_BIT = 1 << TIMESTAMP


def response(
    request: Message,
    status: int,
    reason: bytes,
    to_tag: bytes = b"",
    headers: bytes = b"",
    body: bytes = b"",
    via_params: bytes | None = None,
    record_route: bool = False,
) -> bytes:
    """A response of ours (RFC 3261 §8.2.6.2).

    `via_params` is the whole top Via value as top_via_fixed() made it; None repeats the one that
    came. `to_tag` goes in where the request's To has none. `headers` are complete lines.
    """
    data = request.data
    draft = _draft
    draft.begin()
    draft.add(b"SIP/2.0 ")
    draft.add_number(status)
    draft.add(b" ")
    draft.add(reason)
    draft.add(b"\r\n")
    # §12.1.1 for Record-Route, §8.2.6.1 for Timestamp.
    wanted = _ECHOED | (_RECORD_ROUTE_BIT if record_route else 0)
    wanted |= _TIMESTAMP_BIT if status == 100 else 0
    start = -1  # of the run of bytes to copy
    first_via = True
    for index in range(request.header_count):
        number = request.header_id[index]
        if not (wanted >> number) & 1:
            if start >= 0:
                draft.add_part(data, start, request.name_start[index])
                start = -1
            continue
        if start < 0:
            start = request.name_start[index]
        if number == VIA and first_via:
            first_via = False
            if via_params is not None:
                draft.add_part(data, start, request.via_at[14])
                draft.add(via_params)
                start = request.via_at[13]
        elif number == TO and to_tag and request.to_at[6] < 0:
            draft.add_part(data, start, request.to_at[5])
            draft.add(b";tag=")
            draft.add(to_tag)
            start = request.to_at[5]
    if start >= 0:
        draft.add_part(data, start, request.headers_end)
    draft.add(headers)
    if body:
        draft.add(b"Content-Length: ")
        draft.add_number(len(body))
        draft.add(b"\r\n\r\n")
        draft.add(body)
    else:
        draft.add(_NO_BODY)
    return draft.take()


def top_via_fixed(request: Message, source: Address, force_rport: bool = False) -> bytes:
    """The top Via with received and rport filled in (RFC 3261 §18.2.1, RFC 3581 §4).

    What the sender put there itself is overwritten: responses go where it says.
    """
    data = request.data
    at = request.via_at
    if at[7] >= 0 or at[9] != at[10] or (at[9] < 0 and force_rport):
        return _via_rewritten(data, at, source, force_rport)
    if at[9] >= 0:
        draft = _draft
        draft.begin()
        draft.add_part(data, at[14], at[11])
        draft.add(source.rport_received)
        draft.add_part(data, at[11], at[13])
        return draft.take()
    value = cut(data, at[14], at[13])
    if _is_sent_by(data, at, source):
        return value
    return value + b";received=" + source.host


def is_sent_by(request: Message, source: Address) -> bool:
    """Whether the topmost Via names the host that the request came from."""
    return _is_sent_by(request.data, request.via_at, source)


def _is_sent_by(data: bytes, at: list[int], source: Address) -> bool:
    if same_text(data, at[2], at[3], source.host):
        return True
    if data[at[2]] != ord("["):
        return False
    return address_of(cut(data, at[2], at[3]), source.port).host == source.host


def _via_rewritten(data: bytes, at: list[int], source: Address, force_rport: bool) -> bytes:
    """The slow way: every parameter but received and rport, then ours."""
    p = data
    if not cython.compiled:
        p = data + b"\0"
        out = [0] * 24
    pieces = [cut(data, at[14], at[12])]
    i = at[12]
    end = at[13]
    while i < end:
        i = scan_param(p, i + 1, end, out)
        if same_name(p, out[20], out[21], b"received"):
            continue
        if same_name(p, out[20], out[21], b"rport"):
            continue
        pieces.append(b";" + data[out[20] : out[21] if out[22] < 0 else out[23]])
    if force_rport or at[9] >= 0:
        pieces.append(b";rport" + source.rport_received)
    elif not _is_sent_by(data, at, source):
        pieces.append(b";received=" + source.host)
    return b"".join(pieces)


def response_address(via: Via) -> Address | None:
    """Where a response to this top Via goes (§18.2.2, RFC 3581 §4).

    None for a host name, a broadcast or a multicast address (RFC 4475 §3.3.12). Never maddr: it
    would send what we answer to whomever a stranger names.
    """
    port = via.rport if via.rport > 0 else via.port if via.port else 5060
    try:
        found = address_of(via.received if via.received else via.host, port)
    except ValueError:
        return None
    return found if found.is_unicast else None


class Cuts:
    """What is left out of a message, or replaced, in the order it stands there."""

    def __init__(self) -> None:
        if not cython.compiled:
            self.starts, self.ends = [0] * _CUTS, [0] * _CUTS
        self.texts: list[bytes] = [b""] * _CUTS
        self.count = 0

    def clear(self) -> int:
        """Nothing, for a start."""
        self.count = 0
        return 0

    def add(self, start: int, end: int, text: bytes) -> int:
        """`text` instead of what lies from `start` to `end`."""
        at = self.count
        if at == _CUTS:
            raise BadMessage("more edits than a message has lines")
        while at > 0 and self.starts[at - 1] > start:
            self.starts[at] = self.starts[at - 1]
            self.ends[at] = self.ends[at - 1]
            self.texts[at] = self.texts[at - 1]
            at -= 1
        self.starts[at] = start
        self.ends[at] = end
        self.texts[at] = text
        self.count += 1
        return 0

    def add_routes(self, request: Message, count: int) -> int:
        """The first `count` Route values go."""
        p = request.data
        if not cython.compiled:
            p = request.data + b"\0"
            out = [0] * 24
        index = request.first_of(ROUTE)
        while count > 0 and index >= 0:
            end = request.value_end[index]
            i = request.value_start[index]
            while count > 0 and i < end:
                i = scan_name_addr(p, i, end, out) + 1
                count -= 1
            if i < end:
                self.add(request.value_start[index], skip_lws(p, i, end), b"")
            else:
                self.add(request.name_start[index], request.name_start[index + 1], b"")
            index = request.next_of(index)
        return 0

    def add_edits(self, message: Message, edits: tuple[tuple[int, bytes | None], ...]) -> int:
        """Header lines that get another value, or go."""
        for index, value in edits:
            if not 0 <= index < message.header_count:
                raise IndexError(index)
            if value is None:
                self.add(message.name_start[index], message.name_start[index + 1], b"")
            else:
                self.add(message.value_start[index], message.value_end[index], value)
        return 0

    def write(self, draft: Draft, message: Message) -> bytes:
        """The draft, then the headers and body of the message with these cuts made in them."""
        data = message.data
        at = message.first_line_end
        for index in range(self.count):
            if self.starts[index] < at:
                raise ValueError("two edits of the same header line")
            draft.add_part(data, at, self.starts[index])
            draft.add(self.texts[index])
            at = self.ends[index]
        draft.add_part(data, at, message.body_end)
        return draft.take()


def forwarded_request(
    request: Message,
    request_uri: bytes,
    via: bytes,
    top_via: bytes,
    max_forwards: int,
    drop_routes: int = 0,
    insert: bytes = b"",
    edits: tuple[tuple[int, bytes | None], ...] = (),
    branch: bytes = b"",
) -> bytes:
    """The request as it goes on (§16.6): `via` and `insert` are lines put before the first header.

    With `branch`, `via` is the line up to it. `top_via` replaces the value that was topmost;
    `edits` are (header index, new value or None to take the line away); `max_forwards` below zero
    leaves that header as it is.
    """
    draft = _draft
    draft.begin()
    draft.add_part(request.data, request.start, request.start + len(request.method) + 1)
    draft.add(request_uri)
    draft.add(b" SIP/2.0\r\n")
    draft.add(via)
    if branch:
        draft.add(branch)
        draft.add(b"\r\n")
    draft.add(insert)
    cuts = _cuts
    cuts.clear()
    cuts.add(request.via_at[14], request.via_at[13], top_via)
    if max_forwards >= 0:
        index = request.first_of(MAX_FORWARDS)
        number = _NUMBERS[max_forwards]
        if index < 0:
            draft.add(b"Max-Forwards: ")
            draft.add(number)
            draft.add(b"\r\n")
        else:
            cuts.add(request.value_start[index], request.value_end[index], number)
    if drop_routes:
        cuts.add_routes(request, drop_routes)
    if edits:
        cuts.add_edits(request, edits)
    return cuts.write(draft, request)


def forwarded_response(
    response: Message,
    edits: tuple[tuple[int, bytes | None], ...] = (),
    insert: bytes = b"",
) -> bytes:
    """The response without its topmost Via value (§16.7 step 3)."""
    data = response.data
    p = data
    if not cython.compiled:
        p = data + b"\0"
    index = response.first_of(VIA)
    end = response.value_end[index]
    after = skip_lws(p, response.via_at[13], end)
    cuts = _cuts
    cuts.clear()
    if after < end:  # the comma
        cuts.add(response.via_at[14], skip_lws(p, after + 1, end), b"")
    elif response.next_of(index) < 0:
        raise BadMessage("Via: the response is for us")
    else:
        cuts.add(response.name_start[index], response.name_start[index + 1], b"")
    if edits:
        cuts.add_edits(response, edits)
    draft = _draft
    draft.begin()
    draft.add_part(data, response.start, response.first_line_end)
    draft.add(insert)
    return cuts.write(draft, response)


_cuts = Cuts()


def _lines(message: Message, number: int) -> bytes:
    """Every line of a header as it stands."""
    pieces = []
    index = message.first_of(number)
    while index >= 0:
        pieces.append(cut(message.data, message.name_start[index], message.name_start[index + 1]))
        index = message.next_of(index)
    return b"".join(pieces)


def _same_hop(sent: Message, method: bytes, to_line: bytes, max_forwards: int) -> bytes:
    """A request of ours that must match one sent before: same branch, target, route and call."""
    return b"".join(
        (
            method + b" " + sent.request_uri + b" SIP/2.0\r\nVia: ",
            cut(sent.data, sent.via_at[14], sent.via_at[13]),
            b"\r\nMax-Forwards: %d\r\n" % max_forwards,
            _lines(sent, ROUTE),
            _lines(sent, FROM),
            to_line,
            _lines(sent, CALL_ID),
            b"CSeq: %d %b\r\nContent-Length: 0\r\n\r\n" % (sent.cseq, method),
        )
    )


def ack_for(request_sent: Message, response: Message, max_forwards: int = 70) -> bytes:
    """The ACK of a client transaction for a final response other than 2xx (§17.1.1.3)."""
    return _same_hop(request_sent, b"ACK", _lines(response, TO), max_forwards)


def cancel_for(request_sent: Message, max_forwards: int = 70) -> bytes:
    """The CANCEL of a request sent before (§9.1)."""
    return _same_hop(request_sent, b"CANCEL", _lines(request_sent, TO), max_forwards)
