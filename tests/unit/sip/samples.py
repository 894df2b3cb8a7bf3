"""Two ordinary messages and the pieces that tests ask for."""

from __future__ import annotations

from tests.wire import wire

REGISTER = wire(
    """
REGISTER sip:example.com SIP/2.0
Via: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bK-524287-1---abcdef12;rport
Max-Forwards: 70
Contact: <sip:alice@192.0.2.10:5060;transport=udp>;expires=60;+sip.instance="<urn:uuid:1>";reg-id=1
To: "Alice" <sip:alice@example.com>
From: "Alice" <sip:alice@example.com>;tag=8a7b6c5d
Call-ID: 7f3d9a2b1c4e5f60@192.0.2.10
CSeq: 42 REGISTER
Expires: 3600
Supported: path, outbound
k: gruu
User-Agent: phone 1.0
Content-Length: 0
"""
)
SDP = b"v=0\r\no=alice 1 1 IN IP4 192.0.2.10\r\ns=-\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\n"
INVITE = wire(
    """
INVITE sip:bob@example.com SIP/2.0
Via: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bK-first
Via: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK-second , SIP/2.0/TCP h.example.net;branch=z9hG4bK-third
Max-Forwards: 70
Route: <sip:p1.example.com;lr>, <sip:p2.example.com;lr>
Route: <sip:p3.example.com;lr>
Record-Route: <sip:p0.example.com;lr>
Contact: <sip:alice@192.0.2.10:5060>
To: <sip:bob@example.com>
From: "Alice" <sip:alice@example.com>;tag=8a7b6c5d
Call-ID: 7f3d9a2b1c4e5f60@192.0.2.10
CSeq: 1 INVITE
Timestamp: 54
X-Unknown: Kept, as it is
Subject: a
  folded \t
  line
Content-Type: application/sdp
Content-Length: {length}
""",
    SDP,
)
RESPONSE = wire(
    """
SIP/2.0 180 Ringing
Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKours
Via: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bK-first;received=198.51.100.7;rport=40000
To: <sip:bob@example.com>;tag=bob1
From: "Alice" <sip:alice@example.com>;tag=8a7b6c5d
Call-ID: 7f3d9a2b1c4e5f60@192.0.2.10
CSeq: 1 INVITE
Contact: <sip:bob@192.0.2.20>
Content-Length: 0
"""
)
