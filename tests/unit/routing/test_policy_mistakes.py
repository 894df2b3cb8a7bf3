"""What a policy does wrong costs the call that it was asked about, and nothing else."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.registrar.lookup import target_for
from proxy.routing.request import Request
from tests.scenarios.world import World, address

PHONE = address("192.0.2.1:5060")
INVITE = (
    b"INVITE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1\r\n"
    b"From: <sip:alice@example.com>;tag=1\r\nTo: <sip:bob@example.com>\r\nCall-ID: 1\r\n"
    b"CSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"
)


def raises(error: BaseException) -> Callable[[Request], object]:
    def policy(request: Request) -> None:
        raise error

    return policy


MISTAKES: dict[str, Callable[[Request], object]] = {
    "sys.exit": lambda request: sys.exit(3),
    "KeyboardInterrupt": raises(KeyboardInterrupt()),
    "CancelledError": raises(asyncio.CancelledError()),
    "GeneratorExit": raises(GeneratorExit()),
    "StopIteration": raises(StopIteration()),
    "status 99": lambda request: request.reply(99),
    "status 700": lambda request: request.reply(700),
    "line end in a reason": lambda request: request.reply(480, "No\r\nX: y"),
    "half a header line": lambda request: request.reply(480, headers=b"X: y"),
    "text that is none": lambda request: request.reply(480, "\ud800"),
    "line end in a name": lambda request: request.add_header(b"X\r\nY", b"z"),
    "no target": lambda request: request.relay([None]),  # type: ignore[list-item]
    "text for a target": lambda request: request.relay(["sip:bob@192.0.2.2"]),  # type: ignore[list-item]
    "one target of two": lambda request: request.relay(
        [target_for(b"sip:bob@192.0.2.2"), None]  # type: ignore[list-item]
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_a_500(tmp_path: Path, name: str) -> None:
    async def policy(request: Request) -> None:
        MISTAKES[name](request)
        request.reply(200)

    world = World(tmp_path, policy=policy)
    (answer,) = world.deliver(INVITE, PHONE)
    assert answer.message.status == 500
    assert world.count("sipherd:policy_errors") == 1
