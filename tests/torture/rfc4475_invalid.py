"""Our own messages for RFC 4475 §3.1.2: refused, but for those a proxy need not mind."""

from __future__ import annotations

from tests.torture.case import Case
from tests.torture.usual import CSEQ_I, CSEQ_O, INVITE, OPTIONS, SDP, instead, plain

INVALID = [
    Case(
        "badinv01",
        "3.1.2.1",
        400,
        instead(
            "badinv01",
            INVITE,
            CSEQ_I + 'Contact: "Joe" <sip:joe@example.org>;;;;\n',
            "5062;branch=z9hG4bK-badinv01",
            "5062;;,;,,",
        ),
    ),
    Case(
        "clerr",
        "3.1.2.2",
        400,
        plain("clerr", INVITE, "CSeq: 8 INVITE\nContent-Length: 9999\n", SDP),
    ),
    Case(
        "ncl", "3.1.2.3", 400, plain("ncl", INVITE, "CSeq: 8 INVITE\nContent-Length: -999\n", SDP)
    ),
    Case(
        "scalar02",
        "3.1.2.4",
        400,
        instead(
            "scalar02",
            "REGISTER sip:example.com SIP/2.0",
            """
CSeq: 36893488147419103232 REGISTER
Expires: 1000000000000000000000000000000000
Contact: <sip:ann@host7.example.net>;expires=280297596632815
Content-Length: 0
""",
            "Max-Forwards: 70",
            "Max-Forwards: 300",
        ),
    ),
    Case(
        "scalarlg",
        "3.1.2.5",
        400,
        plain(
            "scalarlg",
            "SIP/2.0 503 Service Unavailable",
            "CSeq: 9292394834772304023312 OPTIONS\nRetry-After: 949302838503028349304023988\n"
            'Warning: 1812 overture "In Progress"\nContent-Length: 0\n',
        ),
    ),
    Case(
        "quotbal",
        "3.1.2.6",
        400,
        instead("quotbal", INVITE, CSEQ_I, "To: <sip:ben", 'To: "Mr. Ben <sip:ben'),
    ),
    Case(
        "ltgtruri",
        "3.1.2.7",
        400,
        plain("ltgtruri", "INVITE <sip:ben@example.com> SIP/2.0", CSEQ_I),
    ),
    Case(
        "lwsruri",
        "3.1.2.8",
        400,
        plain("lwsruri", "INVITE sip:ben@example.com; lr SIP/2.0", CSEQ_I),
    ),
    Case(
        "lwsstart",
        "3.1.2.9",
        400,
        plain("lwsstart", "INVITE  sip:ben@example.com  SIP/2.0", CSEQ_I),
    ),
    Case("trws", "3.1.2.10", 400, plain("trws", "OPTIONS sip:ben@example.com SIP/2.0  ", CSEQ_O)),
    Case(
        "escruri",
        "3.1.2.11",
        400,
        plain(
            "escruri", "INVITE sip:ben@example.com?Route=%3Csip:x.example.com%3E SIP/2.0", CSEQ_I
        ),
    ),
    # A proxy has no business with the Date of others: read and passed on.
    Case(
        "baddate",
        "3.1.2.12",
        0,
        plain("baddate", INVITE, "Date: Fri, 01 Jan 2010 16:00:00 EST\n" + CSEQ_I),
    ),
    Case(
        "regbadct",
        "3.1.2.13",
        400,
        plain(
            "regbadct",
            "REGISTER sip:example.com SIP/2.0",
            "CSeq: 8 REGISTER\nContact: sip:ann@example.net?Route=%3Csip:x.example.com%3E\nl: 0\n",
        ),
    ),
    Case(
        "badaspec",
        "3.1.2.14",
        400,
        instead(
            "badaspec",
            OPTIONS,
            CSEQ_O,
            "To: <sip:ben@example.com>",
            'To: "B, B" < sip:ben@example.com >',
        ),
    ),
    Case(
        "baddn",
        "3.1.2.15",
        400,
        instead("baddn", OPTIONS, CSEQ_O, "From: <", "From: Bell, Ann <"),
    ),
    Case(
        "badvers", "3.1.2.16", 505, plain("badvers", "OPTIONS sip:ben@example.com SIP/7.0", CSEQ_O)
    ),
    Case("mismatch01", "3.1.2.17", 400, plain("mismatch01", OPTIONS, CSEQ_I)),
    Case(
        "mismatch02",
        "3.1.2.18",
        400,
        plain("mismatch02", "NEWMETHOD sip:ben@example.com SIP/2.0", CSEQ_I),
    ),
    Case(
        "bigcode", "3.1.2.19", 400, plain("bigcode", "SIP/2.0 4294967301 better not break", CSEQ_I)
    ),
]
