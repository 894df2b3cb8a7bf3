"""An answer to a request that parse() refused: best effort, and silence when in doubt."""

from __future__ import annotations

import re

from proxy.errors import BadMessage
from proxy.sip.address import Address
from proxy.sip.header_ids import CALL_ID, CSEQ, FROM, TO, VIA, header_id
from proxy.sip.headers import Via, parse_via, split_commas

_REQUEST = re.compile(rb"(?:\r\n)*([A-Za-z0-9!%*_+`'~.-]{1,64}) [^\r\n]* SIP/[0-9.]{1,8}[ \t]*\r\n")
_LINE = re.compile(rb"([A-Za-z0-9!%*_+`'~.-]{1,64})[ \t]*:[ \t]*(.*)", re.DOTALL)
_FOLD = re.compile(rb"[ \t]*\r\n[ \t]+")
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_ECHOED = {FROM: b"From", TO: b"To", CALL_ID: b"Call-ID", CSEQ: b"CSeq"}
_NAME_END = re.compile(rb"[ \t=]")
_OURS = (b"received", b"rport")
_LONGEST = 2048  # bytes of one header repeated to somebody who sent garbage


def _fields(data: bytes, start: int) -> tuple[list[bytes], dict[int, bytes]]:
    """Every Via value, and the first of each other header that a response repeats."""
    head = data[start:].partition(b"\r\n\r\n")[0]
    vias: list[bytes] = []
    others: dict[int, bytes] = {}
    for line in _FOLD.sub(b" ", head).split(b"\r\n"):
        matched = _LINE.fullmatch(line)
        if matched is None or len(line) > _LONGEST or _CONTROL.search(line):
            continue
        number = header_id(matched[1])
        if number == VIA:
            vias.append(matched[2].strip())
        elif number in _ECHOED and number not in others:
            others[number] = matched[2].strip()
    return vias, others


def _top_via(value: bytes, source: Address | None) -> tuple[Via, bytes]:
    first, *rest = split_commas(value)
    via = parse_via(first)
    if source is not None:
        parts = [part.strip() for part in via.params.split(b";") if part.strip()]
        kept = [part for part in parts if _NAME_END.split(part.lower())[0] not in _OURS]
        params = b"".join(b";" + part for part in kept)
        rport = b";rport" + source.rport_received if via.rport >= 0 else b""
        received = b"" if rport else b";received=" + source.host
        first = b"SIP/2.0/%b %b%b%b%b" % (via.transport, via.hostport, params, rport, received)
    return via, b", ".join([first, *rest])


def refusal(data: bytes, error: BadMessage, source: Address | None = None) -> bytes | None:
    """The response for a refused request; None to drop it (a response, an ACK, no usable Via).

    It is no larger than what it answers by more than the reason phrase and `received`.
    """
    matched = _REQUEST.match(data)
    if matched is None or matched[1] == b"ACK":  # RFC 3261 §17.2.1: nobody answers an ACK
        return None
    vias, others = _fields(data, matched.end())
    try:
        if not vias:
            return None
        vias[0] = _top_via(vias[0], source)[1]
    except (BadMessage, ValueError):
        return None
    lines = [b"SIP/2.0 %d %b" % (error.status, error.reason.encode("ascii", "replace"))]
    lines += [b"Via: " + value for value in vias]
    lines += [name + b": " + others[number] for number, name in _ECHOED.items() if number in others]
    return b"\r\n".join([*lines, b"Content-Length: 0", b"", b""])
