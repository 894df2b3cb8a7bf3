"""Our own messages for RFC 4475 §3.1.1: odd, and to be read as they are."""

from __future__ import annotations

from proxy.sip import header_ids as h
from proxy.sip.headers import parse_contacts
from proxy.sip.uri import aor_key, parse_uri
from tests.torture.case import Case
from tests.torture.usual import SDP, contact, instead, plain
from tests.wire import wire

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
From: token1~` token2'+_ *% !.- <sip:dull@example.com>
 ;fromParam''~+*_!.-%="\xd1\x80\xd0\xb0\xd0\xb1"
 ;tag=_t~1'+*!-.
Call-ID: odd%ZK-!.*_+'@w`~)(><:\\/"][?}{
CSeq: 139122385 !odd-Method0123_*+`.%but'legal~
Max-Forwards: 255
odd-.!%*_+`'~Header: \xef\xbb\xbf\xe5\xa4\xa7\xe5\x81\x9c\xe9\x9b\xbb
Content-Length: 0
"""
)
LONGREQ = wire(
    "INVITE sip:ben@example.com SIP/2.0\n"
    + 'To: "Long '
    + "name " * 60
    + '" <sip:ben@example.com:6000;'
    + "long" * 60
    + "=x>\n"
    + "F: sip:"
    + "anybody" * 18
    + "@host7.example.net;tag="
    + "12" * 50
    + "982424"
    + ";"
    + "param" * 20
    + "name="
    + "value" * 20
    + "\n"
    + "Call-ID: longreq.one"
    + "really" * 20
    + "longcallid\n"
    + "CSeq: 3882340 INVITE\n"
    + "Unknown-"
    + "Long" * 20
    + "-Name: unknown-"
    + "long" * 20
    + "-value\n"
    + "Via: SIP/2.0/TCP sip33.example.com\n"
    + "".join(f"v: SIP/2.0/TCP sip{n}.example.com\n" for n in range(32, 1, -1))
    + "Via: SIP/2.0/TCP host7.example.net;received=192.0.2.5;branch=very"
    + "long" * 50
    + "branch\n"
    + "Max-Forwards: 70\nContact: <sip:"
    + "ann" * 30
    + "@host7.example.net>\n"
    + "Content-Type: application/sdp\nl: {length}\n",
    SDP,
)
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
        "wsinv",
        "3.1.1.1",
        0,
        WSINV,
        check=lambda m: (
            m.to_tag == b"55x81n"
            and m.from_tag == b"7q7q"
            and m.max_forwards == 42
            and m.cseq == 17
            and m.branch == b"440skd"
            and m.body == SDP
            and len(m.values(h.VIA)) == 3
            and parse_contacts(m.headers(h.CONTACT))[0].q == 330
            and m.header(h.SUBJECT) == b""
            and m.named(b"only-separators") == [b";;,,;;,;"]
        ),
    ),
    Case(
        "intmeth",
        "3.1.1.2",
        0,
        INTMETH,
        check=lambda m: (
            m.method == "!odd-Method0123_*+`.%but'legal~"
            and m.uri.password == b"&pw=+$,"
            and m.from_tag == b"_t~1'+*!-."
            and m.to_addr.display == b"BEL:\x07 NUL:\x00 DEL:\x7f"
        ),
    ),
    Case(
        "esc01",
        "3.1.1.3",
        0,
        plain(
            "esc01",
            "INVITE sip:sips%3Aben%40example.com@example.net SIP/2.0",
            """
CSeq: 29344 INVITE
Contact: <sip:c%61ller@host7.example.net;%6C%72;n%61me=v%61lue%25%34%31>
Content-Length: 0
""",
        ),
        check=lambda m: (
            m.uri.user == b"sips%3Aben%40example.com"
            and m.uri.host == b"example.net"
            and not parse_uri(contact(m)).lr
        ),
    ),
    Case(
        "escnull",
        "3.1.1.4",
        0,
        plain(
            "escnull",
            "REGISTER sip:example.com SIP/2.0",
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
        "esc02",
        "3.1.1.5",
        0,
        plain(
            "esc02",
            "RE%47IST%45R sip:reg.example.com SIP/2.0",
            """
CSeq: 29344 RE%47IST%45R
Contact: <sip:alias1@host1.example.com>
Content-Length: 0
""",
        ),
        check=lambda m: m.method == "RE%47IST%45R",
    ),
    Case(
        "lwsdisp",
        "3.1.1.6",
        0,
        instead(
            "lwsdisp",
            "OPTIONS sip:ben@example.com SIP/2.0",
            "CSeq: 60 OPTIONS\nl: 0\n",
            "From: <sip:ann@example.net>",
            "From: caller<sip:ann@example.net>",
        ),
        check=lambda m: m.from_addr.display == b"caller",
    ),
    Case(
        "longreq",
        "3.1.1.7",
        0,
        LONGREQ,
        check=lambda m: len(m.headers(h.VIA)) == 33 and len(m.from_tag) == 106,
    ),
    Case(
        "dblreq",
        "3.1.1.8",
        0,
        DBLREQ,
        check=lambda m: m.method == "REGISTER" and m.body == b"" and m.body_end < len(DBLREQ),
    ),
    Case(
        "semiuri",
        "3.1.1.9",
        0,
        plain(
            "semiuri",
            "OPTIONS sip:ben;par=u%40example.net@example.com SIP/2.0",
            "CSeq: 8 OPTIONS\nContent-Length: 0\n",
        ),
        check=lambda m: m.uri.user == b"ben;par=u%40example.net" and m.uri.params == b"",
    ),
    Case(
        "transports",
        "3.1.1.10",
        0,
        plain(
            "transports",
            "OPTIONS sip:ben@example.com SIP/2.0",
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
        "mpart01",
        "3.1.1.11",
        0,
        plain(
            "mpart01",
            "MESSAGE sip:ben@example.com SIP/2.0",
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
        "unreason",
        "3.1.1.12",
        0,
        plain(
            "unreason",
            "SIP/2.0 200 = 2**3 * 5**2 \xd0\xbd\xd0\xbe \xd1\x81\xd1\x82\xd0\xbe",
            "CSeq: 35 INVITE\nContent-Length: 0\n",
        ),
        check=lambda m: m.reason.startswith(b"= 2**3 * 5**2 \xd0\xbd"),
    ),
    Case(
        "noreason",
        "3.1.1.13",
        0,
        plain("noreason", "SIP/2.0 100 ", "CSeq: 35 INVITE\nContent-Length: 0\n"),
        check=lambda m: m.status == 100 and m.reason == b"",
    ),
]
