"""Branches are the same whoever computes them, and nobody else can."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.constants import BRANCH_BYTES
from proxy.routing.branch import Signer, hex_digits
from proxy.routing.siphash import siphash
from proxy.sip.message import Message, parse

KEY0, KEY1 = 0x0706050403020100, 0x0F0E0D0C0B0A0908
# Aumasson and Bernstein, "SipHash", appendix A, and the reference implementation's first vectors
VECTORS = {
    8: 0x93F5F5799A932462,
    15: 0xA129CA6149BE45E5,
    16: 0x3F2ACC7F57C29BDB,
    63: 0x958A324CEB064572,
}

HOST = b"192.0.2.1"


@pytest.mark.parametrize("size", VECTORS)
def test_siphash_vectors(size: int) -> None:
    message = bytes(range(size))
    number = int.from_bytes(message[:8], "little")
    assert siphash(KEY0, KEY1, number, message[8:]) == VECTORS[size]


@given(st.integers(0, 2**64 - 1))
def test_all_hex_digits(value: int) -> None:
    assert hex_digits(value, 16) == b"%016x" % value


@pytest.mark.parametrize("width", [1, 8, 16])
def test_hex_digits(width: int) -> None:
    value = 0x0123456789ABCDEF
    assert hex_digits(value, width) == b"0123456789abcdef"[16 - width :]


def invite(branch: str = "z9hG4bKa", call_id: str = "c1", cseq: int = 1) -> Message:
    return parse(
        f"INVITE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch={branch}\r\n"
        f"From: <sip:alice@example.com>;tag=a\r\nTo: <sip:bob@example.com>\r\n"
        f"Call-ID: {call_id}\r\nCSeq: {cseq} INVITE\r\nMax-Forwards: 70\r\n"
        "Content-Length: 0\r\n\r\n".encode()
    )


def response(branch: bytes, below: str = "z9hG4bKa", call_id: str = "c1", cseq: int = 1) -> Message:
    return parse(
        b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.100;branch=" + branch + b"\r\n"
        b"Via: SIP/2.0/UDP 192.0.2.1;branch=" + below.encode() + b"\r\n"
        b"From: <sip:alice@example.com>;tag=a\r\nTo: <sip:bob@example.com>;tag=b\r\n"
        b"Call-ID: " + call_id.encode() + b"\r\nCSeq: %d INVITE\r\n" % cseq + b"\r\n"
    )


def branch_of(
    signer: Signer,
    request: Message,
    target: bytes = b"sip:bob@192.0.2.2",
    origin: bytes = HOST,
) -> bytes:
    loop = signer.loop_hash(request, request.request_uri, b"")
    return signer.branch(request, origin, loop, signer.aim_hash(target, b"", b"", 0))


def test_the_same_request_gets_the_same_branch_from_any_worker() -> None:
    one, other = Signer(b"a secret of the cluster"), Signer(b"a secret of the cluster")
    assert branch_of(one, invite()) == branch_of(other, invite())
    assert len(branch_of(one, invite())) == BRANCH_BYTES


def test_another_request_target_or_secret_gets_another_branch() -> None:
    signer = Signer(b"a secret of the cluster")
    branches = {
        branch_of(signer, invite()),
        branch_of(signer, invite(branch="z9hG4bKb")),
        branch_of(signer, invite(call_id="c2")),
        branch_of(signer, invite(cseq=2)),
        branch_of(signer, invite(), b"sip:bob@192.0.2.3"),
        branch_of(signer, invite(), origin=b"192.0.2.9"),
        branch_of(Signer(b"another secret, as long"), invite()),
    }
    assert len(branches) == 7


def test_only_our_own_responses_are_recognised() -> None:
    signer = Signer(b"a secret of the cluster")
    branch = branch_of(signer, invite())
    assert signer.is_ours(branch, b"z9hG4bKa", HOST, response(branch))
    assert not signer.is_ours(branch, b"z9hG4bKa", b"192.0.2.9", response(branch))
    assert not signer.is_ours(branch, b"z9hG4bKb", HOST, response(branch, below="z9hG4bKb"))
    assert not signer.is_ours(branch, b"z9hG4bKa", HOST, response(branch, call_id="c2"))
    assert not signer.is_ours(branch, b"z9hG4bKa", HOST, response(branch, cseq=2))
    forged = branch[:-1] + (b"0" if branch[-1:] != b"0" else b"1")
    assert not signer.is_ours(forged, b"z9hG4bKa", HOST, response(forged))
    assert not signer.is_ours(b"z9hG4bK", b"z9hG4bKa", HOST, response(b"z9hG4bKx"))


def test_what_is_signed_may_not_be_cut_elsewhere() -> None:
    signer = Signer(b"a secret of the cluster")
    cookies = {signer.route_cookie(*texts) for texts in (
        (b"c1", b"a"), (b"c", b"1a"), (b"c1a", b""), (b"c1", b"", b"a"), (b"c1", b"a", b"1"),
        (b"c1\0", b"a"), (b"c1", b"\0a"),
    )}  # fmt: skip
    assert len(cookies) == 7
    aims = {
        signer.aim_hash(b"sip:a", b"", b"", 0),
        signer.aim_hash(b"sip:a", b"", b"", 1),
        signer.aim_hash(b"sip:a", b"b", b"", 0),
        signer.aim_hash(b"sip:a", b"", b"b", 0),
        signer.aim_hash(b"sip:ab", b"", b"", 0),
    }
    assert len(aims) == 5


def test_signatures_are_the_same_compiled_and_not() -> None:
    signer = Signer(b"a secret of the cluster")
    assert branch_of(signer, invite()) == b"z9hG4bK84bbeb6e838dfe2dbec667eea43f313b"
    assert signer.route_cookie(b"c1", b"a", b"0123456789") == b"f0b1069e78867945"
    assert signer.own_tag(invite()) == b"6635e09e62d55456"
    assert signer.own_branch(b"BYE 1") == b"z9hG4bK203cc59c38e10b8b"


def test_a_short_secret_is_refused() -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        Signer(b"short")


@given(st.binary(max_size=200))
def test_siphash_is_a_function_of_key_and_data(data: bytes) -> None:
    assert siphash(KEY0, KEY1, 7, data) == siphash(KEY0, KEY1, 7, bytes(bytearray(data)))
    assert siphash(KEY0, KEY1, 7, data) != siphash(KEY1, KEY0, 7, data)
    assert siphash(KEY0, KEY1, 7, data) != siphash(KEY0, KEY1, 8, data)
