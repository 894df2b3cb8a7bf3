from __future__ import annotations

import pytest

from proxy.errors import BadMessage
from proxy.sip import header_ids as h
from proxy.sip.address import Address
from proxy.sip.headers import parse_via
from proxy.sip.message import parse
from proxy.sip.patching import (
    ack_for,
    cancel_for,
    forwarded_request,
    forwarded_response,
    response,
    response_address,
    top_via_fixed,
)
from tests.unit.sip.samples import INVITE, REGISTER, RESPONSE, SDP

SOURCE = Address.parse(b"198.51.100.7", 40000)
OURS = b"Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKours\r\n"


def test_response() -> None:
    request = parse(INVITE)
    made = parse(response(request, 200, b"OK", b"mine", b"X-A: b\r\n"))
    assert (made.status, made.reason, made.to_tag) == (200, b"OK", b"mine")
    assert made.headers(h.VIA) == request.headers(h.VIA)
    assert made.from_tag == request.from_tag
    assert (made.call_id, made.cseq, made.cseq_method) == (request.call_id, 1, "INVITE")
    assert made.named(b"x-a") == [b"b"]
    assert made.content_length == 0
    assert not made.has(h.RECORD_ROUTE)
    assert not made.has(h.TIMESTAMP)
    assert not made.has(h.SUBJECT)


def test_response_with_record_route_timestamp_and_body() -> None:
    request = parse(INVITE)
    assert parse(response(request, 183, b"x", record_route=True)).values(h.RECORD_ROUTE) == [
        b"<sip:p0.example.com;lr>"
    ]
    assert parse(response(request, 100, b"Trying")).header(h.TIMESTAMP) == b"54"
    made = parse(response(request, 200, b"OK", headers=b"Content-Type: a/b\r\n", body=SDP))
    assert made.body == SDP
    assert made.content_length == len(SDP)


def test_response_keeps_a_to_tag() -> None:
    inside = parse(INVITE.replace(b"To: <sip:bob@example.com>", b"To: <sip:bob@example.com>;tag=t"))
    assert parse(response(inside, 200, b"OK", b"mine")).to_tag == b"t"


def test_response_with_the_via_we_fixed() -> None:
    request = parse(INVITE)
    fixed = top_via_fixed(request, SOURCE)
    made = parse(response(request, 200, b"OK", via_params=fixed))
    assert made.values(h.VIA)[0] == fixed
    assert made.values(h.VIA)[1:] == request.values(h.VIA)[1:]


@pytest.mark.parametrize(
    ("params", "source", "forced", "fixed"),
    [
        (b"", b"192.0.2.10", False, b""),
        (b"", b"198.51.100.7", False, b";received=198.51.100.7"),
        (b";rport", b"192.0.2.10", False, b";rport=40000;received=192.0.2.10"),
        (b";rport;x=y", b"1.2.3.4", False, b";rport=40000;received=1.2.3.4;x=y"),
        (b"", b"1.2.3.4", True, b";rport=40000;received=1.2.3.4"),
        (b";received=6.6.6.6", b"192.0.2.10", False, b""),
        (b";received=6.6.6.6;a=b", b"1.2.3.4", False, b";a=b;received=1.2.3.4"),
        (b";rport=1;received=6.6.6.6", b"1.2.3.4", False, b";rport=40000;received=1.2.3.4"),
        (b";rport", b"2001:db8::1", False, b";rport=40000;received=2001:db8::1"),
    ],
)
def test_top_via_fixed(params: bytes, source: bytes, forced: bool, fixed: bytes) -> None:
    value = b"SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bK-first"
    request = parse(INVITE.replace(value, value + params))
    found = top_via_fixed(request, Address.parse(source, 40000), forced)
    assert found == value + fixed
    assert parse_via(found).branch == b"z9hG4bK-first"


def test_top_via_of_an_ipv6_phone() -> None:
    value = b"SIP/2.0/UDP 192.0.2.10:5060"
    request = parse(INVITE.replace(value, b"SIP/2.0/UDP [2001:DB8:0::1]:5060"))
    assert b"received" not in top_via_fixed(request, Address.parse(b"2001:db8::1", 5060))
    assert b";received=2001:db8::2" in top_via_fixed(request, Address.parse(b"2001:db8::2", 5060))


@pytest.mark.parametrize(
    ("via", "where"),
    [
        (b"SIP/2.0/UDP 192.0.2.1", b"192.0.2.1:5060"),
        (b"SIP/2.0/UDP 192.0.2.1:5070", b"192.0.2.1:5070"),
        (b"SIP/2.0/UDP h:5070;received=192.0.2.1", b"192.0.2.1:5070"),
        (b"SIP/2.0/UDP h;received=192.0.2.1;rport=4", b"192.0.2.1:4"),
        (b"SIP/2.0/UDP [2001:db8::1]:9", b"[2001:db8::1]:9"),
        (b"SIP/2.0/UDP h;received=[2001:db8::1]", b"[2001:db8::1]:5060"),
        (b"SIP/2.0/UDP 192.0.2.1;maddr=6.6.6.6", b"192.0.2.1:5060"),
        (b"SIP/2.0/UDP phone.example.com", None),
        (b"SIP/2.0/UDP 255.255.255.255", None),
        (b"SIP/2.0/UDP 224.0.1.75", None),
        (b"SIP/2.0/UDP [ff02::1]", None),
        (b"SIP/2.0/UDP 0.0.0.0", None),
    ],
)
def test_response_address(via: bytes, where: bytes | None) -> None:
    found = response_address(parse_via(via))
    assert (found.hostport if found else None) == where


def test_forwarded_request_changes_only_what_it_must() -> None:
    request = parse(REGISTER)
    top = top_via_fixed(request, SOURCE)
    sent = forwarded_request(request, b"sip:next", OURS, top, 69)
    wanted = (
        REGISTER.replace(
            b"REGISTER sip:example.com SIP/2.0\r\n", b"REGISTER sip:next SIP/2.0\r\n" + OURS
        )
        .replace(b";rport\r\n", b";rport=40000;received=198.51.100.7\r\n")
        .replace(b"Max-Forwards: 70", b"Max-Forwards: 69")
    )
    assert sent == wanted


def test_forwarded_request_by_keywords() -> None:
    request = parse(REGISTER)
    sent = forwarded_request(
        request,
        request_uri=b"sip:x",
        via=OURS,
        top_via=b"SIP/2.0/UDP h",
        max_forwards=-1,
        insert=b"A: b\r\n",
    )
    assert parse(sent).max_forwards == 70
    assert sent.startswith(b"REGISTER sip:x SIP/2.0\r\n" + OURS + b"A: b\r\nVia: SIP/2.0/UDP h\r\n")


def test_forwarded_request_adds_max_forwards() -> None:
    request = parse(REGISTER.replace(b"Max-Forwards: 70\r\n", b""))
    sent = forwarded_request(request, b"sip:x", OURS, b"SIP/2.0/UDP h", 70)
    assert parse(sent).max_forwards == 70


@pytest.mark.parametrize(
    ("count", "left"),
    [(0, [b"p1", b"p2", b"p3"]), (1, [b"p2", b"p3"]), (2, [b"p3"]), (3, []), (9, [])],
)
def test_forwarded_request_drops_routes(count: int, left: list[bytes]) -> None:
    request = parse(INVITE)
    sent = parse(forwarded_request(request, b"sip:x", OURS, b"SIP/2.0/UDP h", 69, count))
    assert sent.values(h.ROUTE) == [b"<sip:" + name + b".example.com;lr>" for name in left]
    assert sent.body == SDP


def test_forwarded_request_edits() -> None:
    request = parse(INVITE)
    contact, subject = request.first_of(h.CONTACT), request.first_of(h.SUBJECT)
    edits: tuple[tuple[int, bytes | None], ...] = ((subject, None), (contact, b"<sip:b2b>"))
    sent = parse(forwarded_request(request, b"sip:x", OURS, b"SIP/2.0/UDP h", 69, 0, b"", edits))
    assert sent.header(h.CONTACT) == b"<sip:b2b>"
    assert not sent.has(h.SUBJECT)
    assert sent.named(b"X-Unknown") == [b"Kept, as it is"]


def test_edits_that_collide_or_miss_are_mistakes() -> None:
    request = parse(INVITE)
    with pytest.raises(ValueError, match="two edits"):
        forwarded_request(request, b"sip:x", OURS, b"v", 69, 0, b"", ((0, None),))
    with pytest.raises(IndexError):
        forwarded_request(request, b"sip:x", OURS, b"v", 69, 0, b"", ((99, None),))


def test_bytes_after_the_body_are_not_passed_on() -> None:
    request = parse(INVITE + b"INVITE sip:evil SIP/2.0\r\n")
    assert forwarded_request(request, b"sip:x", OURS, b"SIP/2.0/UDP h", 69).endswith(SDP)


def test_forwarded_response_loses_its_first_via() -> None:
    made = forwarded_response(parse(RESPONSE))
    assert made == RESPONSE.replace(OURS, b"")
    joined = RESPONSE.replace(b"ours\r\nVia: ", b"ours , ")
    assert parse(forwarded_response(parse(joined))).headers(h.VIA) == parse(made).headers(h.VIA)


def test_forwarded_response_edits() -> None:
    message = parse(RESPONSE)
    contact = message.first_of(h.CONTACT)
    made = parse(forwarded_response(message, ((contact, b"<sip:x>"),), b"X-A: b\r\n"))
    assert made.header(h.CONTACT) == b"<sip:x>"
    assert made.named(b"x-a") == [b"b"]


def test_forwarded_response_for_us() -> None:
    with pytest.raises(BadMessage):
        forwarded_response(parse(response(parse(REGISTER), 200, b"OK")))


def test_ack_and_cancel() -> None:
    sent = parse(INVITE)
    refused = parse(response(sent, 486, b"Busy", b"theirs"))
    ack, cancel = parse(ack_for(sent, refused)), parse(cancel_for(sent, 69))
    for made, method in ((ack, "ACK"), (cancel, "CANCEL")):
        assert (made.method, made.cseq_method, made.cseq) == (method, method, 1)
        assert made.request_uri == sent.request_uri
        assert made.values(h.VIA) == sent.values(h.VIA)[:1]
        assert made.values(h.ROUTE) == sent.values(h.ROUTE)
        assert (made.call_id, made.from_tag) == (sent.call_id, sent.from_tag)
        assert made.content_length == 0
    assert (ack.to_tag, cancel.to_tag) == (b"theirs", b"")
    assert (ack.max_forwards, cancel.max_forwards) == (70, 69)
