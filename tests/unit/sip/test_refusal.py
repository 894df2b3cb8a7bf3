from __future__ import annotations

import pytest

from proxy.errors import BadMessage
from proxy.sip.address import Address
from proxy.sip.message import parse
from proxy.sip.refusal import refusal
from tests.unit.sip.samples import INVITE, REGISTER, RESPONSE

SOURCE = Address.parse(b"198.51.100.7", 40000)


def refused(data: bytes) -> bytes | None:
    with pytest.raises(BadMessage) as caught:
        parse(data)
    return refusal(data, caught.value, SOURCE)


def test_names_what_is_wrong_and_goes_to_where_it_came_from() -> None:
    answer = refused(REGISTER.replace(b"CSeq: 42 REGISTER", b"CSeq: 42 BYE"))
    assert answer is not None
    made = parse(answer)
    assert (made.status, made.call_id) == (400, b"7f3d9a2b1c4e5f60@192.0.2.10")
    assert made.reason.startswith(b"CSeq")
    assert made.via.received == b"198.51.100.7"
    assert made.via.rport == 40000
    assert made.branch == parse(REGISTER).branch


def test_a_spoofed_received_is_not_believed() -> None:
    data = REGISTER.replace(b";rport", b";received=6.6.6.6;ttl=1").replace(b"CSeq: 42", b"CSeq: x")
    answer = refused(data)
    assert answer is not None
    assert b"6.6.6.6" not in answer
    assert b";ttl=1;received=198.51.100.7\r\n" in answer


def test_505_and_missing_headers() -> None:
    answer = refused(REGISTER.replace(b"SIP/2.0\r\n", b"SIP/7.0\r\n", 1))
    assert answer is not None
    assert answer.startswith(b"SIP/2.0 505 Version Not Supported\r\nVia: ")
    answer = refused(REGISTER.replace(b"Call-ID", b"X-Id"))
    assert answer is not None
    assert b"\r\nCall-ID" not in answer


def test_silence() -> None:
    assert refused(INVITE.replace(b"INVITE", b"ACK").replace(b"CSeq: 1", b"CSeq: x")) is None
    assert refused(RESPONSE.replace(b"CSeq: 1", b"CSeq: x")) is None
    assert refused(REGISTER.replace(b"Via:", b"X:")) is None
    assert refused(REGISTER.replace(b"SIP/2.0/UDP", b"SIP/2.0/\x16UD")) is None
    assert refused(b"garbage") is None
    assert refusal(REGISTER, BadMessage("x")) is not None


def test_all_vias_and_folds_are_repeated_in_order() -> None:
    data = INVITE.replace(b"CSeq: 1", b"CSeq: x").replace(b"UDP 192.0.2.9", b"UDP\r\n 192.0.2.9")
    answer = refused(data)
    assert answer is not None
    made = answer.split(b"\r\n")
    assert [line for line in made if line.startswith(b"Via")][1] == (
        b"Via: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK-second , "
        b"SIP/2.0/TCP h.example.net;branch=z9hG4bK-third"
    )
