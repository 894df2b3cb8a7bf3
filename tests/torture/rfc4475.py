"""Our own messages, one for each test of RFC 4475, with the verdict of a proxy and registrar."""

from __future__ import annotations

from proxy.sip import header_ids as h
from proxy.sip.headers import parse_contacts
from proxy.sip.message import Message
from proxy.sip.uri import aor_key, parse_uri
from tests.torture.case import Case
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


WSINV = wire(
    """
INVITE sip:ben@gate.example.com;flagparam SIP/2.0
tO :
 sip:ben@gate.example.com ;   tag    = 55x81n
frOM   : "A Tester \\\\\\""       <sip:ann@example.net>
  ;
  tag = 7q7q
mAx-FoRwArDs: 0042
Call-ID: wsinv.own@192.0.2.61
Content-Length   : {length}
cSeQ: 0017
  INVITE
Via  : SIP  /   2.0
 /UDP
    192.0.2.61;branch=440skd
s :
Newfangled:   some value
 that goes on
Only-Separators: ;;,,;;,;
Content-Type: application/sdp
Route:
 <sip:relay.example.com;lr;strange=value;strange-flag>
v:  SIP  / 2.0  / TCP     spool.example.com   ;
  branch  =   z9hG4bKf00b4r  ,
 SIP  /    2.0   / UDP  198.51.100.14   ; branch=
 z9hG4bK7788
m:"Quoted \\"\\" words" <sip:ann@host.example.net> ; one =
      new ;
  two ; q = 0.33
""",
    SDP,
)
INTMETH = wire(
    """
!odd-Method0123_*+`.%but'legal~ sip:9_a-b.c!d~e*f'g(h)&=+$,;?/%C3%A4:&pw=+$,@example.com SIP/2.0
Via: SIP/2.0/UDP host1.example.com;branch=z9hG4bK-.!%*_+`'~
To: "BEL:\\\x07 NUL:\\\x00 DEL:\\\x7f" <sip:9_a-b.c!d~e*f'g(h)&=+$,;?/%C3%A4:&pw=+$,@example.com>
From: token1~` token2'+_ *% !.- <sip:mundane@example.com>;fromParam''~+*_!.-%="\xd1\x80\xd0\xb0\xd0\xb1";tag=_t~1'+*!-.
Call-ID: odd%ZK-!.*_+'@w`~)(><:\\/"][?}{
CSeq: 139122385 !odd-Method0123_*+`.%but'legal~
Max-Forwards: 255
odd-.!%*_+`'~Header: \xef\xbb\xbf\xe5\xa4\xa7\xe5\x81\x9c\xe9\x9b\xbb
Content-Length: 0
"""
)
LONGREQ = wire(
    "INVITE sip:ben@example.com SIP/2.0\n"
    + 'To: "Long ' + "name " * 60 + '" <sip:ben@example.com:6000;' + "long" * 60 + "=x>\n"
    + "F: sip:" + "anybody" * 18 + "@host7.example.net;tag=" + "12" * 50 + "982424"
    + ";" + "param" * 20 + "name=" + "value" * 20 + "\n"
    + "Call-ID: longreq.one" + "really" * 20 + "longcallid\n"
    + "CSeq: 3882340 INVITE\n"
    + "Unknown-" + "Long" * 20 + "-Name: unknown-" + "long" * 20 + "-value\n"
    + "Via: SIP/2.0/TCP sip33.example.com\n"
    + "".join(f"v: SIP/2.0/TCP sip{n}.example.com\n" for n in range(32, 1, -1))
    + "Via: SIP/2.0/TCP host7.example.net;received=192.0.2.5;branch=very" + "long" * 50 + "branch\n"
    + "Max-Forwards: 70\nContact: <sip:" + "ann" * 30 + "@host7.example.net>\n"
    + "Content-Type: application/sdp\nl: {length}\n",
    SDP,
)  # fmt: skip
DBLREQ = plain(
    "dblreq",
    "REGISTER sip:example.com SIP/2.0",
    """
CSeq: 8 REGISTER
Contact: <sip:ann@host7.example.net>
Content-Length: 0
""",
) + plain("second", "INVITE sip:ben@example.com SIP/2.0", "CSeq: 1 INVITE\nContent-Length: 0\n")
MPART = (
    b"--zq7\r\nContent-Type: text/plain\r\n\r\nhello\r\n--zq7\r\n"
    b"Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: binary\r\n\r\n"
    b"\x00\x01\xff\xfe\r\n\r\nINVITE\x00\r\n--zq7--\r\n"
)

VALID = [
    Case(
        "wsinv", "3.1.1.1", 0, WSINV,
        check=lambda m: (
            m.to_tag == b"55x81n" and m.from_tag == b"7q7q" and m.max_forwards == 42
            and m.cseq == 17 and m.branch == b"440skd" and m.body == SDP
            and len(m.values(h.VIA)) == 3
            and parse_contacts(m.headers(h.CONTACT))[0].q == 330
            and m.header(h.SUBJECT) == b""
            and m.named(b"only-separators") == [b";;,,;;,;"]
        ),
    ),
    Case(
        "intmeth", "3.1.1.2", 0, INTMETH,
        check=lambda m: (
            m.method == "!odd-Method0123_*+`.%but'legal~"
            and m.uri.password == b"&pw=+$," and m.from_tag == b"_t~1'+*!-."
            and m.to_addr.display == b"BEL:\x07 NUL:\x00 DEL:\x7f"
        ),
    ),
    Case(
        "esc01", "3.1.1.3", 0,
        plain(
            "esc01", "INVITE sip:sips%3Aben%40example.com@example.net SIP/2.0",
            """
CSeq: 29344 INVITE
Contact: <sip:c%61ller@host7.example.net;%6C%72;n%61me=v%61lue%25%34%31>
Content-Length: 0
""",
        ),
        check=lambda m: (
            m.uri.user == b"sips%3Aben%40example.com" and m.uri.host == b"example.net"
            and not parse_uri(contact(m)).lr
        ),
    ),
    Case(
        "escnull", "3.1.1.4", 0,
        plain(
            "escnull", "REGISTER sip:example.com SIP/2.0",
            """
CSeq: 14398 REGISTER
Contact: <sip:%00@host7.example.com>
Contact: <sip:%00%00@host7.example.com>
Content-Length: 0
""",
        ),
        check=lambda m: (
            len({aor_key(parse_uri(c.uri)) for c in parse_contacts(m.headers(h.CONTACT))}) == 2
        ),
    ),
    Case(
        "esc02", "3.1.1.5", 0,
        plain(
            "esc02", "RE%47IST%45R sip:reg.example.com SIP/2.0",
            """
CSeq: 29344 RE%47IST%45R
Contact: <sip:alias1@host1.example.com>
Content-Length: 0
""",
        ),
        check=lambda m: m.method == "RE%47IST%45R",
    ),
    Case(
        "lwsdisp", "3.1.1.6", 0,
        instead(
            "lwsdisp", "OPTIONS sip:ben@example.com SIP/2.0", "CSeq: 60 OPTIONS\nl: 0\n",
            "From: <sip:ann@example.net>", "From: caller<sip:ann@example.net>",
        ),
        check=lambda m: m.from_addr.display == b"caller",
    ),
    Case(
        "longreq", "3.1.1.7", 0, LONGREQ,
        check=lambda m: len(m.headers(h.VIA)) == 33 and len(m.from_tag) == 106,
    ),
    Case(
        "dblreq", "3.1.1.8", 0, DBLREQ,
        check=lambda m: m.method == "REGISTER" and m.body == b"" and m.body_end < len(DBLREQ),
    ),
    Case(
        "semiuri", "3.1.1.9", 0,
        plain(
            "semiuri", "OPTIONS sip:ben;par=u%40example.net@example.com SIP/2.0",
            "CSeq: 8 OPTIONS\nContent-Length: 0\n",
        ),
        check=lambda m: m.uri.user == b"ben;par=u%40example.net" and m.uri.params == b"",
    ),
    Case(
        "transports", "3.1.1.10", 0,
        plain(
            "transports", "OPTIONS sip:ben@example.com SIP/2.0",
            """
Via: SIP/2.0/SCTP t2.example.com;branch=z9hG4bK2
Via: SIP/2.0/TLS t3.example.com;branch=z9hG4bK3
Via: SIP/2.0/NOBODYKNOWS t4.example.com;branch=z9hG4bK4
CSeq: 60 OPTIONS
l: 0
""",
        ),
    ),
    Case(
        "mpart01", "3.1.1.11", 0,
        plain(
            "mpart01", "MESSAGE sip:ben@example.com SIP/2.0",
            """
CSeq: 1 MESSAGE
Content-Type: multipart/mixed;boundary=zq7
Content-Length: {length}
""",
            MPART,
        ),
        check=lambda m: m.body == MPART,
    ),
    Case(
        "unreason", "3.1.1.12", 0,
        plain(
            "unreason",
            "SIP/2.0 200 = 2**3 * 5**2 \xd0\xbd\xd0\xbe \xd1\x81\xd1\x82\xd0\xbe",
            "CSeq: 35 INVITE\nContent-Length: 0\n",
        ),
        check=lambda m: m.reason.startswith(b"= 2**3 * 5**2 \xd0\xbd"),
    ),
    Case(
        "noreason", "3.1.1.13", 0,
        plain("noreason", "SIP/2.0 100 ", "CSeq: 35 INVITE\nContent-Length: 0\n"),
        check=lambda m: m.status == 100 and m.reason == b"",
    ),
]  # fmt: skip

OPTIONS = "OPTIONS sip:ben@example.com SIP/2.0"
INVITE = "INVITE sip:ben@example.com SIP/2.0"
CSEQ_O = "CSeq: 8 OPTIONS\nContent-Length: 0\n"
CSEQ_I = "CSeq: 8 INVITE\nContent-Length: 0\n"

INVALID = [
    Case(
        "badinv01", "3.1.2.1", 400,
        instead(
            "badinv01", INVITE, CSEQ_I + 'Contact: "Joe" <sip:joe@example.org>;;;;\n',
            "5062;branch=z9hG4bK-badinv01", "5062;;,;,,",
        ),
    ),
    Case(
        "clerr", "3.1.2.2", 400,
        plain("clerr", INVITE, "CSeq: 8 INVITE\nContent-Length: 9999\n", SDP),
    ),
    Case("ncl", "3.1.2.3", 400, plain("ncl", INVITE, "CSeq: 8 INVITE\nContent-Length: -999\n", SDP)),
    Case(
        "scalar02", "3.1.2.4", 400,
        instead(
            "scalar02", "REGISTER sip:example.com SIP/2.0",
            """
CSeq: 36893488147419103232 REGISTER
Expires: 1000000000000000000000000000000000
Contact: <sip:ann@host7.example.net>;expires=280297596632815
Content-Length: 0
""",
            "Max-Forwards: 70", "Max-Forwards: 300",
        ),
    ),
    Case(
        "scalarlg", "3.1.2.5", 400,
        plain(
            "scalarlg", "SIP/2.0 503 Service Unavailable",
            "CSeq: 9292394834772304023312 OPTIONS\nRetry-After: 949302838503028349304023988\n"
            "Warning: 1812 overture \"In Progress\"\nContent-Length: 0\n",
        ),
    ),
    Case(
        "quotbal", "3.1.2.6", 400,
        instead("quotbal", INVITE, CSEQ_I, "To: <sip:ben", 'To: "Mr. Ben <sip:ben'),
    ),
    Case("ltgtruri", "3.1.2.7", 400, plain("ltgtruri", "INVITE <sip:ben@example.com> SIP/2.0", CSEQ_I)),
    Case("lwsruri", "3.1.2.8", 400, plain("lwsruri", "INVITE sip:ben@example.com; lr SIP/2.0", CSEQ_I)),
    Case("lwsstart", "3.1.2.9", 400, plain("lwsstart", "INVITE  sip:ben@example.com  SIP/2.0", CSEQ_I)),
    Case("trws", "3.1.2.10", 400, plain("trws", "OPTIONS sip:ben@example.com SIP/2.0  ", CSEQ_O)),
    Case(
        "escruri", "3.1.2.11", 400,
        plain("escruri", "INVITE sip:ben@example.com?Route=%3Csip:x.example.com%3E SIP/2.0", CSEQ_I),
    ),
    # A proxy has no business with the Date of others: read and passed on.
    Case(
        "baddate", "3.1.2.12", 0,
        plain("baddate", INVITE, "Date: Fri, 01 Jan 2010 16:00:00 EST\n" + CSEQ_I),
    ),
    Case(
        "regbadct", "3.1.2.13", 400,
        plain(
            "regbadct", "REGISTER sip:example.com SIP/2.0",
            "CSeq: 8 REGISTER\nContact: sip:ann@example.net?Route=%3Csip:x.example.com%3E\nl: 0\n",
        ),
    ),
    Case(
        "badaspec", "3.1.2.14", 400,
        instead("badaspec", OPTIONS, CSEQ_O, "To: <sip:ben@example.com>", 'To: "B, B" < sip:ben@example.com >'),
    ),
    Case(
        "baddn", "3.1.2.15", 400,
        instead("baddn", OPTIONS, CSEQ_O, "From: <", "From: Bell, Ann <"),
    ),
    Case("badvers", "3.1.2.16", 505, plain("badvers", "OPTIONS sip:ben@example.com SIP/7.0", CSEQ_O)),
    Case("mismatch01", "3.1.2.17", 400, plain("mismatch01", OPTIONS, CSEQ_I)),
    Case("mismatch02", "3.1.2.18", 400, plain("mismatch02", "NEWMETHOD sip:ben@example.com SIP/2.0", CSEQ_I)),
    Case("bigcode", "3.1.2.19", 400, plain("bigcode", "SIP/2.0 4294967301 better not break", CSEQ_I)),
]  # fmt: skip

SEMANTICS = [
    Case(
        "badbranch", "3.2.1", 0,
        instead("badbranch", OPTIONS, CSEQ_O, "z9hG4bK-badbranch", "z9hG4bK"),
        check=lambda m: m.branch == b"z9hG4bK",
    ),
    Case(
        "insuf", "3.3.1", 400,
        wire("INVITE sip:ben@example.com SIP/2.0\nCSeq: 8 INVITE\nVia: SIP/2.0/UDP h;branch=z9hG4bKi\nl: 0\n"),
    ),
    Case(
        "unkscm", "3.3.2", 0, plain("unkscm", "OPTIONS nobodyKnowsThis:opaquecontent SIP/2.0", CSEQ_O),
        answer=416, check=lambda m: not m.uri.is_sip and m.uri.scheme == b"nobodyknowsthis",
    ),
    Case(
        "novelsc", "3.3.3", 0, plain("novelsc", "OPTIONS soap.beep://192.0.2.103:3002 SIP/2.0", CSEQ_O),
        answer=416, check=lambda m: not m.uri.is_sip and m.uri.host == b"",
    ),
    Case(
        "unksm2", "3.3.4", 0,
        instead("unksm2", "REGISTER sip:example.com SIP/2.0",
                "CSeq: 8 REGISTER\nContact: <name:Ann_Tester>\nl: 0\n",
                "To: <sip:ben@example.com>", "To: <isbn:2983792873>"),
        answer=404,
    ),
    Case(
        "bext01", "3.3.5", 0,
        plain("bext01", OPTIONS, "Require: nothingSupportsThis, norThis\nProxy-Require: nor-this\n" + CSEQ_O),
        answer=420, check=lambda m: m.values(h.REQUIRE) == [b"nothingSupportsThis", b"norThis"],
    ),
    Case(
        "invut", "3.3.6", 0,
        plain("invut", INVITE, "CSeq: 8 INVITE\nContent-Type: application/unknown\nl: {length}\n", b"<audio/>\n"),
    ),
    Case(
        "regaut01", "3.3.7", 0,
        plain(
            "regaut01", "REGISTER sip:example.com SIP/2.0",
            "CSeq: 8 REGISTER\nAuthorization: NoOneKnowsThisScheme opaque-data=here\nContact: <sip:a@h>\nl: 0\n",
        ),
        answer=401,
    ),
    Case(
        "multi01", "3.3.8", 400,
        plain("multi01", INVITE, "Call-ID: second@host7.example.net\nCSeq: 59 INVITE\n" + CSEQ_I),
    ),
    Case(
        "mcl01", "3.3.9", 400,
        plain("mcl01", OPTIONS, "Content-Length: 13\nCSeq: 8 OPTIONS\nContent-Length: 5\n", b"Body of bytes"),
    ),
    Case(
        "bcast", "3.3.10", 0,
        plain("bcast", "SIP/2.0 200 OK", "Via: SIP/2.0/UDP 255.255.255.255;branch=z9hG4bKb\n" + CSEQ_I),
        answer=-1,
    ),
    Case(
        "zeromf", "3.3.11", 0, instead("zeromf", OPTIONS, CSEQ_O, "Max-Forwards: 70", "Max-Forwards: 0"),
        answer=483, check=lambda m: m.max_forwards == 0,
    ),
    Case(
        "cparam01", "3.3.12", 0,
        plain(
            "cparam01", "REGISTER sip:example.com SIP/2.0",
            "CSeq: 8 REGISTER\nContact: sip:+12125550123@gw1.example.net;unknownparam\nl: 0\n",
        ),
        check=lambda m: contact(m) == b"sip:+12125550123@gw1.example.net",
    ),
    Case(
        "cparam02", "3.3.13", 0,
        plain(
            "cparam02", "REGISTER sip:example.com SIP/2.0",
            "CSeq: 8 REGISTER\nContact: <sip:+12125550123@gw1.example.net;unknownparam>\nl: 0\n",
        ),
        check=lambda m: parse_uri(contact(m)).params == b"unknownparam",
    ),
    Case(
        "regescrt", "3.3.14", 0,
        plain(
            "regescrt", "REGISTER sip:example.com SIP/2.0",
            "CSeq: 8 REGISTER\nContact: <sip:ann@example.net?Route=%3Csip:x.example.com%3E>\nl: 0\n",
        ),
        check=lambda m: parse_uri(contact(m)).headers == b"Route=%3Csip:x.example.com%3E",
    ),
    Case(
        "sdp01", "3.3.15", 0,
        plain(
            "sdp01", INVITE,
            "Accept: text/nobodyKnowsThis\nCSeq: 8 INVITE\nContent-Type: application/sdp\nl: {length}\n", SDP,
        ),
    ),
    Case(
        "inv2543", "3.4.1", 0,
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
        check=lambda m: m.branch == b"" and m.from_tag == b"" and m.body == SDP
        and m.max_forwards == -1,
    ),
]  # fmt: skip

CASES = VALID + INVALID + SEMANTICS
