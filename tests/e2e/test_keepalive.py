"""What telephones send besides SIP must be cheap, and must not fill the log."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable

from loadtests.servers import Server
from tests.e2e.phone import Phone

STUN_COOKIE = 0x2112A442


def answers_options(phone: Phone) -> None:
    """A good request is answered: the server has dealt with all that came before it."""
    phone.send(phone.request("OPTIONS"))
    phone.expect(200, "OPTIONS")


def test_options_is_answered(phone: Callable[..., Phone]) -> None:
    for local in ("127.0.0.1", "::1"):
        caller = phone("pinger", local)
        caller.send(caller.request("OPTIONS"))
        answer = caller.expect(200, "OPTIONS")
        assert answer.get("Call-ID").endswith(caller.address)
        assert answer.tag("To")
        assert f";rport={caller.address.rpartition(':')[2]}" in answer.get("Via")


def test_crlf_keepalives_leave_no_line_in_the_log(
    server: Server, phone: Callable[..., Phone]
) -> None:
    alice = phone("alice")
    answers_options(alice)
    before = server.log
    for ping in (b"\r\n\r\n", b"\r\n", b"\0", b"\0\0\0\0", b" ", b"", b"\r\n\r\n\r\n\r\n"):
        for _ in range(20):
            alice.send(ping)
    while (pong := alice.receive_raw(0.3)) is not None:
        assert pong == b"\r\n", "RFC 5626 knows one answer to a keep-alive"
    answers_options(alice)
    assert server.log == before


def test_stun_binding_is_answered_or_ignored(server: Server, phone: Callable[..., Phone]) -> None:
    alice = phone("alice")
    answers_options(alice)
    before = server.log
    transaction = bytes(range(12))
    for body in (b"", struct.pack("!HHI", 0x8022, 4, 0)):
        alice.send(struct.pack("!HHI", 1, len(body), STUN_COOKIE) + transaction + body)
        if (answer := alice.receive_raw(0.3)) is None:
            continue
        kind, length, cookie = struct.unpack_from("!HHI", answer)
        assert (kind, length, cookie) == (0x0101, len(answer) - 20, STUN_COOKIE)
        assert answer[8:20] == transaction
        assert mapped_address(answer) == alice.sock.getsockname()
    answers_options(alice)
    assert server.log == before


def mapped_address(answer: bytes) -> tuple[str, int]:
    """The XOR-MAPPED-ADDRESS of a binding response (RFC 5389 §15.2)."""
    offset = 20
    while offset < len(answer):
        kind, length = struct.unpack_from("!HH", answer, offset)
        if kind == 0x0020:
            _, family, port, host = struct.unpack_from("!BBHI", answer, offset + 4)
            assert family == 1
            plain = struct.pack("!I", host ^ STUN_COOKIE)
            return socket.inet_ntoa(plain), port ^ (STUN_COOKIE >> 16)
        offset += 4 + (length + 3) // 4 * 4
    raise AssertionError(f"no XOR-MAPPED-ADDRESS in {answer!r}")


def test_truncated_stun_is_survived(phone: Callable[..., Phone]) -> None:
    alice = phone("alice")
    for length in range(21):
        alice.send((struct.pack("!HHI", 1, 0, STUN_COOKIE) + bytes(range(12)))[:length])
    while alice.receive_raw(0.2) is not None:
        pass
    answers_options(alice)
