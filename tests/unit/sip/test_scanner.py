from __future__ import annotations

import pytest

from proxy.sip.address import Address
from proxy.sip.message import parse
from proxy.sip.scanner import call_id_hash, find_call_id, hash_call_id, stands_alone
from proxy.sip.stun import stun_binding_response
from tests.unit.sip.samples import INVITE, REGISTER, RESPONSE

VALUE = b"7f3d9a2b1c4e5f60@192.0.2.10"


def found(data: bytes) -> bytes | None:
    packed = find_call_id(data)
    return None if packed < 0 else data[packed >> 16 : packed & 0xFFFF]


@pytest.mark.parametrize(
    "name", [b"Call-ID:", b"CALL-ID:", b"call-id:", b"i:", b"I:", b"i \t:", b"Call-ID\t: \t "]
)
@pytest.mark.parametrize("before", [b"", b"\r\n ", b" \r\n\t"])
def test_as_parse_finds_it(name: bytes, before: bytes) -> None:
    data = REGISTER.replace(b"Call-ID: ", name + before)
    assert found(data) == VALUE == parse(data).call_id


def test_not_what_only_looks_like_it() -> None:
    for line in (b"X-Call-ID: no", b"Call-IDs: no", b"ii: no", b"Subject: x\r\n Call-ID: no"):
        data = REGISTER.replace(b"Via:", line + b"\r\nVia:")
        assert found(data) == VALUE
    body = INVITE.replace(b"Call-ID:", b"X-Id:").replace(b"v=0", b"Call-ID: no")
    assert found(body) is None


@pytest.mark.parametrize("data", [b"", b"\r\n", b"\n", b"i:", b"a\ni:", b"a\ni: ", b"\r\n\r\ni: x"])
def test_nothing_to_find(data: bytes) -> None:
    assert found(data) is None
    assert call_id_hash(data) == 0


def test_far_into_a_large_datagram() -> None:
    data = b"OPTIONS sip:a SIP/2.0\r\nX: " + b"y" * 65_000 + b"\r\nCall-ID: far\r\n\r\n"
    assert found(data) == b"far"


def test_hash() -> None:
    assert call_id_hash(REGISTER) == call_id_hash(RESPONSE) == hash_call_id(VALUE)
    assert hash_call_id(b"") == 0x811C9DC5
    assert hash_call_id(b"foobar") == 0xBF9CF968
    assert call_id_hash(b"\r\n\r\n" + REGISTER) == hash_call_id(VALUE)


def test_hash_spreads() -> None:
    shards = {hash_call_id(b"%d@host" % number) & 1023 for number in range(8000)}
    assert len(shards) > 1000


@pytest.mark.parametrize("host", [b"192.0.2.1", b"2001:db8::1"])
def test_stun_binding(host: bytes) -> None:
    source = Address.parse(host, 40000)
    request = b"\x00\x01\x00\x00\x21\x12\xa4\x42" + bytes(range(12))
    answer = stun_binding_response(request, source)
    assert answer[:2] == b"\x01\x01"
    assert answer[4:20] == request[4:20]
    assert int.from_bytes(answer[2:4]) == len(answer) - 20
    key = request[4:20]
    raw = bytes(a ^ b for a, b in zip(answer[28:], key, strict=False))
    assert raw == (source.sockaddr[8:24] if source.is_v6 else source.sockaddr[4:8])
    assert int.from_bytes(answer[26:28]) ^ 0x2112 == 40000


@pytest.mark.parametrize(
    "data",
    [b"", bytes(19), bytes(20), b"\x01\x01\x00\x00\x21\x12\xa4\x42" + bytes(12),
     b"\x00\x01\x00\x04\x21\x12\xa4\x42" + bytes(12)],
)  # fmt: skip
def test_other_stun_is_left_alone(data: bytes) -> None:
    assert stun_binding_response(data, Address.parse(b"192.0.2.1", 1)) == b""


@pytest.mark.parametrize(
    ("start", "alone"),
    [
        (b"REGISTER sip:a SIP/2.0\r\n", True),
        (b"OPTIONS sip:a SIP/2.0\r\nTo: <sip:b@a>\r\n", True),
        (b"OPTIONS sip:b@a SIP/2.0\r\n", False),
        (b"OPTIONS sip:a", True),
        (b"INVITE sip:a SIP/2.0\r\n", False),
        (b"REGISTERS sip:a SIP/2.0\r\n", False),
        (b"RINGING sip:a SIP/2.0\r\n", False),
        (b"OPTION sip:a SIP/2.0\r\n", False),
        (b"\r\nREGISTER sip:a SIP/2.0\r\n", False),
        (b"REGISTER", False),
        (b"", False),
    ],
)
def test_what_needs_no_state(start: bytes, alone: bool) -> None:
    assert stands_alone(start) is alone
