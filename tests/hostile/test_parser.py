"""The parser against reliability's list of hostile inputs: the verdict, and nothing else."""

from __future__ import annotations

import pytest

from proxy.errors import BadMessage
from proxy.sip import header_ids as h
from proxy.sip.address import Address
from proxy.sip.message import Message, parse
from proxy.sip.patching import forwarded_request, response, top_via_fixed
from proxy.sip.refusal import refusal
from proxy.sip.scanner import call_id_hash, classify, find_call_id
from proxy.sip.stun import stun_binding_response
from proxy.sip.uri import aor_key, parse_uri
from tests.hostile.messages import FIRST, HEADERS, INPUTS, Hostile
from tests.wire import judge, wire

SOURCE = Address.parse(b"198.51.100.66", 40000)


def named(case: Hostile) -> str:
    return case.name


def test_names_are_unique() -> None:
    assert len({case.name for case in INPUTS}) == len(INPUTS)


@pytest.mark.parametrize("case", INPUTS, ids=named)
def test_verdict(case: Hostile) -> None:
    if case.verdict == 0:
        judge(case.data)
        return
    with pytest.raises(BadMessage) as caught:
        judge(case.data)
    assert caught.value.status == case.verdict


@pytest.mark.parametrize("case", INPUTS, ids=named)
def test_nothing_else_falls_over_it(case: Hostile) -> None:
    assert classify(case.data) in (0, 1, 2)
    assert find_call_id(case.data) >= -1
    assert call_id_hash(case.data) >= 0
    assert stun_binding_response(case.data, SOURCE) == b""
    answer = refusal(case.data, BadMessage("No"), SOURCE)
    if answer is not None:
        assert parse_answer(answer).startswith(b"SIP/2.0 400 No\r\n")
        assert len(answer) < len(case.data) + 200


def parse_answer(answer: bytes) -> bytes:
    head, blank, body = answer.partition(b"\r\n\r\n")
    assert blank
    assert body == b""
    assert b"\n" not in head.replace(b"\r\n", b"")
    return answer


READ = [case for case in INPUTS if case.verdict == 0 and case.name != "headers_128"]


@pytest.mark.parametrize("case", READ, ids=named)
def test_what_is_read_can_be_forwarded_and_answered(case: Hostile) -> None:
    message = parse(case.data)
    fixed = top_via_fixed(message, SOURCE)
    sent = parse(
        forwarded_request(
            message,
            message.request_uri,
            b"Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n",
            fixed,
            69,
        )
    )
    assert sent.values(h.VIA)[1] == fixed
    assert same_call(sent, message)
    assert sent.body == message.body
    assert same_call(parse(response(message, 200, b"OK", b"mine", via_params=fixed)), message)


def same_call(one: Message, other: Message) -> bool:
    return (one.call_id, one.from_tag, one.cseq, one.cseq_method) == (
        other.call_id,
        other.from_tag,
        other.cseq,
        other.cseq_method,
    )


SMUGGLED = ["X-Bypass-me", "Route", "P-Asserted-Identity", "Call-ID", "To", "Content-Length"]


@pytest.mark.parametrize("name", SMUGGLED)
def test_every_byte_between_name_and_colon(name: str) -> None:
    """CVE-2020-28361: what one parser takes for another header, the next one obeys."""
    kept = "".join(
        line for line in HEADERS.splitlines(keepends=True) if not line.startswith(name + ":")
    )
    value = {"Call-ID": "evil", "To": "<sip:ben@example.com>", "Content-Length": "0"}.get(
        name, "<sip:evil.example.com;lr>"
    )
    for byte in range(256):
        data = wire(FIRST + kept)[:-2] + name.encode() + bytes((byte,))
        data += b": " + value.encode() + b"\r\n\r\n"
        try:
            message = parse(data)
        except BadMessage:
            continue
        # Read as that very header and passed on as such ...
        if message.named(name.encode()):
            assert byte in b"\t :"
            colons = b":: " if byte == ord(":") else b": "
            assert name.encode() + colons + value.encode() + b"\r\n" in message.data
        # ... or as one with another name, which is a token.
        else:
            longer = name.encode() + bytes((byte,))
            assert message.named(longer) == [value.encode()]


def test_null_users_stay_apart() -> None:
    users = [b"null-%00-null", b"%00", b"%00%00", b"null-", b"null--null"]
    keys = {aor_key(parse_uri(b"sip:" + user + b"@example.com")) for user in users}
    assert len(keys) == len(users)


def test_keepalives_and_stun_are_told_apart() -> None:
    binding = b"\x00\x01\x00\x00\x21\x12\xa4\x42" + bytes(12)
    for data in (b"", b"\x00", b"\r", b"x", b"\r\n", b"\r\n\r\n", bytes(4)):
        assert classify(data) == 0
    assert classify(binding) == 1
    assert classify(binding[:-1]) == 2
    assert classify(wire(FIRST + HEADERS)) == 2
