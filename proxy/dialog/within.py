"""Requests of our own within a dialog, in the name of one side (RFC 3261 §12.2.1.1)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from proxy.dialog.decoded import DialogRecord, Leg
from proxy.errors import BadMessage
from proxy.sip.headers import parse_name_addr, split_commas
from proxy.sip.uri import parse_uri

MAX_FORWARDS = 70
# What may be among the headers of a request of ours: whole lines.
HEADER_LINES = re.compile(rb"(?:[A-Za-z0-9.!%*_+`'~-]+:[^\r\n\0]*\r\n)+")


@dataclass(frozen=True, slots=True)
class Way:
    """How a request gets to one side of a dialog."""

    request_uri: bytes
    routes: tuple[bytes, ...]
    next_hop: bytes  # a URI
    socket: bytes  # our listener on that side


@dataclass(frozen=True, slots=True)
class Content:
    """Header lines and body beyond what every request has; `headers` are whole lines."""

    headers: bytes = b""
    body: bytes = b""
    content_type: bytes = b"application/sdp"


NOTHING = Content()


def way_to(side: Leg) -> Way:
    """From the route set and the remote target of one side; BadMessage when it has none.

    One behind a NAT says in Contact where it is inside; it is sent to where it is reached.
    """
    if not side.contact:
        raise BadMessage("the remote target of the dialog is not known")
    routes = tuple(split_commas(side.routes)) if side.routes else ()
    if not routes:
        next_hop = b"sip:" + side.reached if side.reached else side.contact
        return Way(side.contact, (), next_hop, side.socket)
    first = parse_name_addr(routes[0]).uri
    if parse_uri(first).lr:
        return Way(side.contact, routes, first, side.socket)
    # a strict router: it wants itself in the Request-URI, and the target last in the Route
    return Way(first, (*routes[1:], b"<" + side.contact + b">"), first, side.socket)


def request_within(
    record: DialogRecord,
    callee: Leg,
    to_caller: bool,
    method: str,
    cseq: int,
    way: Way,
    via: bytes,
    content: Content = NOTHING,
) -> bytes:
    """The datagram; `via` is our whole Via line. The dialog is that of the caller and `callee`.

    Each side is shown the URIs of From and To that it has seen before.
    """
    name = method.encode()
    if to_caller:
        sender = _party(record.to_uri, callee.tag)
        receiver = _party(record.from_uri, record.caller.tag)
    else:
        sender = _party(record.mangled_from_uri or record.from_uri, record.caller.tag)
        receiver = _party(record.mangled_to_uri or record.to_uri, callee.tag)
    lines = [
        b"%b %b SIP/2.0\r\n" % (name, way.request_uri),
        via,
        b"Max-Forwards: %d\r\n" % MAX_FORWARDS,
        b"Route: " + b", ".join(way.routes) + b"\r\n" if way.routes else b"",
        b"From: " + sender,
        b"To: " + receiver,
        b"Call-ID: " + record.call_id + b"\r\n",
        b"CSeq: %d %b\r\n" % (cseq, name),
        _contact(record, callee, to_caller, method),
        content.headers,
        b"Content-Type: " + content.content_type + b"\r\n" if content.body else b"",
        b"Content-Length: %d\r\n\r\n" % len(content.body),
        content.body,
    ]
    return b"".join(lines)


def _party(uri: bytes, tag: bytes) -> bytes:
    return b"<%b>;tag=%b\r\n" % (uri, tag) if tag else b"<%b>\r\n" % uri


def _contact(record: DialogRecord, callee: Leg, to_caller: bool, method: str) -> bytes:
    """§12.2.1.1: a target refresh says where its sender is, and ours must not move it."""
    if method == "BYE" or method == "ACK":
        return b""
    contact = callee.contact if to_caller else record.caller.contact
    return b"Contact: <%b>\r\n" % contact if contact else b""
