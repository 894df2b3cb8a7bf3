"""A request that needs state is handled by the owner of its Call-ID (R3), wherever it came in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.telephone import Telephone
from tests.scenarios.world import World, address

ALICE = address("192.0.2.1:5060")


class Elsewhere:
    """Takes what is handed over; says that it all belongs to another worker, or that none does."""

    def __init__(self, world: World, owns: bool = True) -> None:
        self.owns = owns
        self.taken: list[tuple[int, bytes, bytes]] = []
        world.node.hand_over = self

    def __call__(self, listener: int, sockaddr: bytes, data: bytes) -> bool:
        self.taken.append((listener, sockaddr, data))
        return self.owns


@pytest.fixture
def alice() -> Telephone:
    return Telephone("alice", ALICE)


async def relay_and_go_on(request: Any) -> None:
    """What must not go on where the request was handed over."""
    try:
        outcome = await request.relay()
    except Exception:  # noqa: BLE001 - a careless policy
        outcome = None
    request.reply(404 if outcome is None else 403)


async def wait_and_answer(request: Any) -> None:
    await request.sleep(1)
    request.reply(200)


@pytest.mark.parametrize("policy", [relay_and_go_on, wait_and_answer])
@pytest.mark.parametrize("uri", ["REGISTER sip:192.0.2.7", "OPTIONS sip:192.0.2.7"])
def test_it_ends_here(tmp_path: Path, alice: Telephone, policy: Any, uri: str) -> None:
    world = World(tmp_path, policy=policy)
    elsewhere = Elsewhere(world)
    data = alice.request(*uri.split())
    assert world.deliver(data, ALICE) == []
    assert elsewhere.taken == [(0, ALICE.sockaddr, data)]
    assert world.left()[:2] == (0, 0)
    assert world.wait(40) == []
    assert not [event for event in world.log.events if event[0] == "error"]


def test_the_owner_keeps_it(tmp_path: Path, alice: Telephone) -> None:
    world = World(tmp_path, policy=relay_and_go_on)
    elsewhere = Elsewhere(world, owns=False)
    sent = world.deliver(alice.request("OPTIONS", "sip:192.0.2.7"), ALICE)
    assert [one.message.method for one in sent] == ["OPTIONS"]
    assert len(elsewhere.taken) == 1


def test_what_is_answered_at_once_stays(tmp_path: Path, alice: Telephone) -> None:
    world = World(tmp_path)
    elsewhere = Elsewhere(world)
    sent = world.deliver(alice.request("OPTIONS", "sip:example.com"), ALICE)
    assert [one.message.status for one in sent] == [200]
    assert elsewhere.taken == []


def test_a_call_has_come_to_its_owner_already(tmp_path: Path, alice: Telephone) -> None:
    world = World(tmp_path, policy=relay_and_go_on)
    elsewhere = Elsewhere(world)
    assert world.deliver(alice.request("INVITE", "sip:bob@192.0.2.7"), ALICE)
    assert elsewhere.taken == []
