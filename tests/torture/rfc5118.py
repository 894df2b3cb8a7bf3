"""Our own messages, one for each test of RFC 5118: IPv6 in SIP."""

from __future__ import annotations

from proxy.sip import header_ids as h
from proxy.sip.headers import parse_contacts, parse_via
from proxy.sip.uri import parse_uri
from tests.torture.case import Case
from tests.wire import wire

SDP6 = (
    b"v=0\r\no=ann 7 7 IN IP6 2001:db8::61\r\ns=-\r\nc=IN IP6 2001:db8::61\r\nt=0 0\r\n"
    b"m=audio 40000 RTP/AVP 0\r\n"
)
SDP_BOTH = (
    b"v=0\r\no=ann 7 7 IN IP4 ann.example.net\r\ns=-\r\nt=0 0\r\n"
    b"m=audio 40000 RTP/AVP 0\r\nc=IN IP6 2001:db8::61\r\n"
    b"m=video 40002 RTP/AVP 31\r\nc=IN IP4 192.0.2.61\r\n"
)


def about(first: str, via: str, contact: str, body: bytes = b"") -> bytes:
    method = first.split(" ", 1)[0]
    return wire(
        f"{first}\nTo: <sip:ben@example.com>\nFrom: <sip:ann@example.net>;tag=six\n{via}\n"
        f"Call-ID: six.own@[2001:db8::61]\nMax-Forwards: 70\nCSeq: 6 {method}\n"
        f"Contact: {contact}\nContent-Length: {{length}}\n",
        body,
    )


VIA = "Via: SIP/2.0/UDP [2001:db8::61]:5062;branch=z9hG4bK-six"
CONTACT = "<sip:ann@[2001:db8::61]>"

CASES = [
    Case(
        "ipv6-good",
        "4.1",
        0,
        about("REGISTER sip:[2001:db8::10] SIP/2.0", VIA, CONTACT),
        check=lambda m: (
            m.uri.host == b"2001:db8::10"
            and m.uri.host_is_v6
            and m.via.host == b"2001:db8::61"
            and m.via.port == 5062
        ),
    ),
    Case("ipv6-bad", "4.2", 400, about("REGISTER sip:2001:db8::10 SIP/2.0", VIA, CONTACT)),
    Case(
        "port-ambiguous",
        "4.3",
        0,
        about("REGISTER sip:[2001:db8::10:5070] SIP/2.0", VIA, CONTACT),
        check=lambda m: m.uri.host == b"2001:db8::10:5070" and m.uri.port == 0,
    ),
    Case(
        "port-unambiguous",
        "4.4",
        0,
        about("REGISTER sip:[2001:db8::10]:5070 SIP/2.0", VIA, CONTACT),
        check=lambda m: m.uri.host == b"2001:db8::10" and m.uri.port == 5070,
    ),
    Case(
        "received-with-brackets",
        "4.5",
        0,
        about("BYE sip:[2001:db8::10] SIP/2.0", VIA + ";received=[2001:db8::9:255]", CONTACT),
        check=lambda m: m.via.received == b"2001:db8::9:255",
    ),
    Case(
        "received-without-brackets",
        "4.5",
        0,
        about("BYE sip:[2001:db8::10] SIP/2.0", VIA + ";received=2001:db8::9:255", CONTACT),
        check=lambda m: m.via.received == b"2001:db8::9:255",
    ),
    Case(
        "ipv6-in-sdp",
        "4.6",
        0,
        about("INVITE sip:ben@[2001:db8::10] SIP/2.0", VIA, CONTACT, SDP6),
        check=lambda m: m.body == SDP6,
    ),
    Case(
        "mult-ip-in-headers",
        "4.7",
        0,
        about(
            "BYE sip:ben@host.example.net SIP/2.0",
            VIA + "\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKx;received=192.0.2.200"
            "\nVia: SIP/2.0/TCP [2001:db8::9:1]:5061;branch=z9hG4bKy",
            CONTACT,
        ),
        check=lambda m: [parse_via(v).host_is_v6 for v in m.values(h.VIA)] == [True, False, True],
    ),
    Case(
        "mult-ip-in-sdp",
        "4.8",
        0,
        about("INVITE sip:ben@[2001:db8::10] SIP/2.0", VIA, CONTACT, SDP_BOTH),
        check=lambda m: m.body == SDP_BOTH,
    ),
    Case(
        "ipv4-mapped",
        "4.9",
        0,
        about(
            "INVITE sip:ben@example.com SIP/2.0",
            "Via: SIP/2.0/UDP [::ffff:192.0.2.61]:5062;branch=z9hG4bK-six",
            '"Ann" <sip:ann@[::ffff:192.0.2.61]>',
        ),
        check=lambda m: (
            parse_uri(parse_contacts(m.headers(h.CONTACT))[0].uri).host == b"::ffff:192.0.2.61"
        ),
    ),
    Case(
        "three-colons",
        "4.10",
        0,
        about("OPTIONS sip:ben@[2001:db8:::192.0.2.1] SIP/2.0", VIA, CONTACT),
        check=lambda m: m.uri.host == b"2001:db8::192.0.2.1",
    ),
    Case(
        "two-colons",
        "4.10",
        0,
        about("OPTIONS sip:ben@[2001:db8::192.0.2.1] SIP/2.0", VIA, CONTACT),
        check=lambda m: m.uri.host == b"2001:db8::192.0.2.1",
    ),
    Case(
        "three-colons-elsewhere",
        "4.10",
        400,
        about("OPTIONS sip:ben@[2001:db8:::1] SIP/2.0", VIA, CONTACT),
    ),
    Case(
        "zone-identifier",
        "4.10",
        400,
        about("OPTIONS sip:ben@[fe80::1%25eth0] SIP/2.0", VIA, CONTACT),
    ),
]
