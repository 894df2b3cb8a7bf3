"""Requests of our own within a dialog (RFC 3261 §12.2.1.1)."""

from __future__ import annotations

import pytest

from proxy.dialog.decoded import DialogRecord, Leg
from proxy.dialog.record import key_of
from proxy.dialog.within import HEADER_LINES, Content, request_within, way_to
from proxy.errors import BadMessage
from proxy.sip.header_ids import CONTACT, ROUTE
from proxy.sip.headers import parse_name_addr
from proxy.sip.message import Message, parse

VIA = b"Via: SIP/2.0/UDP 192.0.2.100:5060;branch=z9hG4bKours\r\n"


def call(**callee: bytes) -> DialogRecord:
    return DialogRecord(
        key=key_of(b"call-1", b"a-tag"),
        state=4,
        from_uri=b"sip:alice@example.com",
        to_uri=b"sip:bob@example.com",
        caller=Leg(b"a-tag", b"sip:alice@192.0.2.1:5062", b"", b"192.0.2.100:5060"),
        callees=[Leg(**{"tag": b"b-tag", "contact": b"sip:bob@192.0.2.2", **callee}, state=4)],
    )


def made(record: DialogRecord, to_caller: bool, method: str, **content: bytes) -> Message:
    callee = record.callees[0]
    way = way_to(record.caller if to_caller else callee)
    return parse(
        request_within(record, callee, to_caller, method, 17, way, VIA, Content(**content))
    )


def test_a_bye_to_the_callee_comes_from_the_caller() -> None:
    bye = made(call(), False, "BYE", headers=b"Reason: Q.850;cause=16\r\n")
    assert (bye.method, bye.request_uri, bye.cseq) == ("BYE", b"sip:bob@192.0.2.2", 17)
    assert (bye.from_addr.uri, bye.from_tag) == (b"sip:alice@example.com", b"a-tag")
    assert (bye.to_addr.uri, bye.to_tag) == (b"sip:bob@example.com", b"b-tag")
    assert bye.call_id == b"call-1"
    assert bye.max_forwards == 70
    assert b"\r\nReason: Q.850;cause=16\r\n" in bye.data
    assert not bye.has(CONTACT)


def test_a_bye_to_the_caller_comes_from_the_callee() -> None:
    bye = made(call(), True, "BYE")
    assert bye.request_uri == b"sip:alice@192.0.2.1:5062"
    assert (bye.from_tag, bye.to_tag) == (b"b-tag", b"a-tag")
    assert bye.from_addr.uri == b"sip:bob@example.com"


def test_a_target_refresh_names_the_contact_of_the_other_side() -> None:
    again = made(call(), False, "INVITE", body=b"v=0\r\n")
    assert parse_name_addr(again.header(CONTACT) or b"").uri == b"sip:alice@192.0.2.1:5062"
    assert again.data.endswith(b"Content-Type: application/sdp\r\nContent-Length: 5\r\n\r\nv=0\r\n")


def test_a_loose_route_set_stays_in_front_of_the_target() -> None:
    record = call(routes=b"<sip:p1.example.net;lr>, <sip:p2.example.net;lr>")
    assert way_to(record.callees[0]).next_hop == b"sip:p1.example.net;lr"
    bye = made(record, False, "BYE")
    assert bye.request_uri == b"sip:bob@192.0.2.2"
    assert bye.values(ROUTE) == [b"<sip:p1.example.net;lr>", b"<sip:p2.example.net;lr>"]


def test_a_strict_router_is_the_request_uri() -> None:
    record = call(routes=b"<sip:p1.example.net>,<sip:p2.example.net;lr>")
    assert way_to(record.callees[0]).next_hop == b"sip:p1.example.net"
    bye = made(record, False, "BYE")
    assert bye.request_uri == b"sip:p1.example.net"
    assert bye.values(ROUTE) == [b"<sip:p2.example.net;lr>", b"<sip:bob@192.0.2.2>"]


def test_a_side_without_contact_cannot_be_reached() -> None:
    with pytest.raises(BadMessage):
        way_to(call(contact=b"").callees[0])


def test_an_rfc2543_side_has_no_tag() -> None:
    bye = made(call(tag=b""), False, "BYE")
    assert bye.to_tag == b""


def test_only_whole_header_lines_are_added() -> None:
    for lines in (b"X-Why: 1\r\n", b"Reason: Q.850;cause=16\r\nX-Why:\r\n"):
        assert HEADER_LINES.fullmatch(lines)
    for lines in (
        b"",
        b"X-Why: 1",
        b"X-Why: 1\r\n\r\n",
        b"X Why: 1\r\n",
        b"X: \0\r\n",
        b"X: 1\n\r\n",
    ):
        assert not HEADER_LINES.fullmatch(lines)
