"""Our own messages for RFC 4475 §3.2 to §3.4: can be read, and then?"""

from __future__ import annotations

from proxy.sip import header_ids as h
from proxy.sip.uri import parse_uri
from tests.torture.case import Case
from tests.torture.usual import CSEQ_I, CSEQ_O, INVITE, OPTIONS, SDP, contact, instead, plain
from tests.wire import wire

SEMANTICS = [
    Case(
        "badbranch",
        "3.2.1",
        0,
        instead("badbranch", OPTIONS, CSEQ_O, "z9hG4bK-badbranch", "z9hG4bK"),
        check=lambda m: m.branch == b"z9hG4bK",
    ),
    Case(
        "insuf",
        "3.3.1",
        400,
        wire(
            "INVITE sip:ben@example.com SIP/2.0\nCSeq: 8 INVITE\n"
            "Via: SIP/2.0/UDP h;branch=z9hG4bKi\nl: 0\n"
        ),
    ),
    Case(
        "unkscm",
        "3.3.2",
        0,
        plain("unkscm", "OPTIONS nobodyKnowsThis:opaquecontent SIP/2.0", CSEQ_O),
        answer=416,
        check=lambda m: not m.uri.is_sip and m.uri.scheme == b"nobodyknowsthis",
    ),
    Case(
        "novelsc",
        "3.3.3",
        0,
        plain("novelsc", "OPTIONS soap.beep://192.0.2.103:3002 SIP/2.0", CSEQ_O),
        answer=416,
        check=lambda m: not m.uri.is_sip and m.uri.host == b"",
    ),
    Case(
        "unksm2",
        "3.3.4",
        0,
        instead(
            "unksm2",
            "REGISTER sip:example.com SIP/2.0",
            "CSeq: 8 REGISTER\nContact: <name:Ann_Tester>\nl: 0\n",
            "To: <sip:ben@example.com>",
            "To: <isbn:2983792873>",
        ),
        answer=404,
    ),
    Case(
        "bext01",
        "3.3.5",
        0,
        plain(
            "bext01",
            OPTIONS,
            "Require: nothingSupportsThis, norThis\nProxy-Require: nor-this\n" + CSEQ_O,
        ),
        answer=420,
        check=lambda m: m.values(h.REQUIRE) == [b"nothingSupportsThis", b"norThis"],
    ),
    Case(
        "invut",
        "3.3.6",
        0,
        plain(
            "invut",
            INVITE,
            "CSeq: 8 INVITE\nContent-Type: application/unknown\nl: {length}\n",
            b"<audio/>\n",
        ),
    ),
    Case(
        "regaut01",
        "3.3.7",
        0,
        plain(
            "regaut01",
            "REGISTER sip:example.com SIP/2.0",
            "CSeq: 8 REGISTER\nAuthorization: NoOneKnowsThisScheme opaque-data=here\n"
            "Contact: <sip:a@h>\nl: 0\n",
        ),
        answer=401,
    ),
    Case(
        "multi01",
        "3.3.8",
        400,
        plain("multi01", INVITE, "Call-ID: second@host7.example.net\nCSeq: 59 INVITE\n" + CSEQ_I),
    ),
    Case(
        "mcl01",
        "3.3.9",
        400,
        plain(
            "mcl01",
            OPTIONS,
            "Content-Length: 13\nCSeq: 8 OPTIONS\nContent-Length: 5\n",
            b"Body of bytes",
        ),
    ),
    Case(
        "bcast",
        "3.3.10",
        0,
        plain(
            "bcast", "SIP/2.0 200 OK", "Via: SIP/2.0/UDP 255.255.255.255;branch=z9hG4bKb\n" + CSEQ_I
        ),
        answer=-1,
    ),
    Case(
        "zeromf",
        "3.3.11",
        0,
        instead("zeromf", OPTIONS, CSEQ_O, "Max-Forwards: 70", "Max-Forwards: 0"),
        answer=483,
        check=lambda m: m.max_forwards == 0,
    ),
    Case(
        "cparam01",
        "3.3.12",
        0,
        plain(
            "cparam01",
            "REGISTER sip:example.com SIP/2.0",
            "CSeq: 8 REGISTER\nContact: sip:+12125550123@gw1.example.net;unknownparam\nl: 0\n",
        ),
        check=lambda m: contact(m) == b"sip:+12125550123@gw1.example.net",
    ),
    Case(
        "cparam02",
        "3.3.13",
        0,
        plain(
            "cparam02",
            "REGISTER sip:example.com SIP/2.0",
            "CSeq: 8 REGISTER\nContact: <sip:+12125550123@gw1.example.net;unknownparam>\nl: 0\n",
        ),
        check=lambda m: parse_uri(contact(m)).params == b"unknownparam",
    ),
    Case(
        "regescrt",
        "3.3.14",
        0,
        plain(
            "regescrt",
            "REGISTER sip:example.com SIP/2.0",
            "CSeq: 8 REGISTER\n"
            "Contact: <sip:ann@example.net?Route=%3Csip:x.example.com%3E>\nl: 0\n",
        ),
        check=lambda m: parse_uri(contact(m)).headers == b"Route=%3Csip:x.example.com%3E",
    ),
    Case(
        "sdp01",
        "3.3.15",
        0,
        plain(
            "sdp01",
            INVITE,
            "Accept: text/nobodyKnowsThis\n"
            "CSeq: 8 INVITE\nContent-Type: application/sdp\nl: {length}\n",
            SDP,
        ),
    ),
    Case(
        "inv2543",
        "3.4.1",
        0,
        wire(
            """
INVITE sip:ben@example.com SIP/2.0
Via: SIP/2.0/UDP old.example.com
From: <sip:ann@example.net>
To: Old Ben <sip:ben@example.com>
Call-ID: 26@old.example.com
CSeq: 3 INVITE
Content-Type: application/sdp
Subject: an old conversation
""",
            SDP,
        ),
        check=lambda m: (
            m.branch == b"" and m.from_tag == b"" and m.body == SDP and m.max_forwards == -1
        ),
    ),
]
