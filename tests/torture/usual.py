"""A message with the usual headers, to be told by what is odd in it."""

from __future__ import annotations

from proxy.sip import header_ids as h
from proxy.sip.headers import parse_contacts
from proxy.sip.message import Message
from tests.wire import wire

SDP = (
    b"v=0\r\no=ann 7 7 IN IP4 192.0.2.61\r\ns=-\r\nc=IN IP4 192.0.2.61\r\nt=0 0\r\n"
    b"m=audio 40000 RTP/AVP 0\r\n"
)
COMMON = """\
Via: SIP/2.0/UDP host7.example.net:5062;branch=z9hG4bK-{name}
Max-Forwards: 70
From: <sip:ann@example.net>;tag=f-{name}
To: <sip:ben@example.com>
Call-ID: {name}.own@host7.example.net
"""


def plain(name: str, first: str, rest: str, body: bytes = b"") -> bytes:
    """A message with the usual headers, then `rest`."""
    return wire(first + "\n" + COMMON.replace("{name}", name) + rest.lstrip("\n"), body)


def instead(name: str, first: str, rest: str, old: str, new: str, body: bytes = b"") -> bytes:
    """The same with one of the usual headers written otherwise."""
    common = COMMON.replace("{name}", name)
    if old not in common:
        raise ValueError(old)
    return wire(first + "\n" + common.replace(old, new) + rest.lstrip("\n"), body)


def contact(message: Message) -> bytes:
    return parse_contacts(message.headers(h.CONTACT))[0].uri


OPTIONS = "OPTIONS sip:ben@example.com SIP/2.0"
INVITE = "INVITE sip:ben@example.com SIP/2.0"
CSEQ_O = "CSeq: 8 OPTIONS\nContent-Length: 0\n"
CSEQ_I = "CSeq: 8 INVITE\nContent-Length: 0\n"
