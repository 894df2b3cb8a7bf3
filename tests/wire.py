"""Messages written as text, and everything a proxy or registrar would read of one."""

from __future__ import annotations

from proxy.sip import header_ids as h
from proxy.sip.headers import parse_contacts, parse_expires, parse_routes, parse_vias
from proxy.sip.message import Message, parse
from proxy.sip.uri import aor_key, parse_uri


def wire(text: str, body: bytes = b"") -> bytes:
    """The datagram for a text: CRLF line ends, Latin-1 escapes, {length} of the body."""
    head = text.lstrip("\n").replace("{length}", str(len(body))).replace("\n", "\r\n")
    return head.encode("latin-1") + b"\r\n" + body


def judge(data: bytes) -> Message:
    """Parse a message and read of it all that routing and registration read."""
    message = parse(data)
    parse_vias(message.headers(h.VIA))
    for address in (message.from_addr, message.to_addr):
        aor_key(parse_uri(address.uri))
    for number in (h.ROUTE, h.RECORD_ROUTE, h.PATH):
        for route in parse_routes(message.headers(number)):
            parse_uri(route.uri)
    for contact in parse_contacts(message.headers(h.CONTACT)):
        if not contact.star:
            parse_uri(contact.uri)
    expires = message.header(h.EXPIRES)
    if expires is not None:
        parse_expires(expires)
    if message.is_request:
        aor_key(message.uri)
    return message
