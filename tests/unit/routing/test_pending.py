"""What a policy waits for is finished once, in time or as LATE, and resumes that policy alone."""

from __future__ import annotations

from pathlib import Path

from proxy.constants import INTERNAL_LISTENER
from proxy.limits import bounds
from proxy.routing.pending import LATE, Pending, rounded
from proxy.routing.policy_run import Outcome
from proxy.routing.request import Request
from tests.scenarios.world import World, address

PHONE = address("192.0.2.1:5060")


def invite(number: int) -> bytes:
    return (
        b"INVITE sip:bob@example.com SIP/2.0\r\n"
        b"Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK%d\r\n"
        b"From: <sip:alice@example.com>;tag=1\r\nTo: <sip:bob@example.com>\r\nCall-ID: %d\r\n"
        b"CSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n" % (number, number)
    )


class Asking:
    """A policy that asks something and answers by what it is told."""

    def __init__(self) -> None:
        self.asked: list[Pending] = []
        self.told: list[object] = []

    async def __call__(self, request: Request) -> None:
        pending = Pending()
        self.asked.append(pending)
        request.node.pendings.begin(pending, 2.0, request.node.now)
        self.told.append(await pending)
        request.reply(486 if self.told[-1] else 503)


def world_of(tmp_path: Path) -> tuple[World, Asking]:
    policy = Asking()
    return World(tmp_path, policy=policy, capacity=2 * bounds.PENDINGS), policy


def test_an_answer_resumes_the_policy(tmp_path: Path) -> None:
    world, policy = world_of(tmp_path)
    (trying,) = world.deliver(invite(1), PHONE)
    assert trying.message.status == 100
    (again,) = world.deliver(invite(1), PHONE)
    assert again.data == trying.data, "a repeated request is not asked about again"
    assert world.node.pendings.open == 1
    policy.asked[0].finish("found")
    policy.asked[0].finish("too late to matter")
    (answer,) = world.collect()
    assert answer.message.status == 486
    assert policy.told == ["found"]
    assert world.node.pendings.open == 0
    assert {sent.message.status for sent in world.wait(10)} == {486}, "again, for want of an ACK"
    assert world.count("sipherd:pendings_late") == 0


def test_no_answer_in_time_is_late(tmp_path: Path) -> None:
    world, policy = world_of(tmp_path)
    world.deliver(invite(1), PHONE)
    (answer,) = world.wait(2.0)
    assert answer.message.status == 503
    assert policy.told == [LATE]
    assert world.node.pendings.open == 0
    assert world.count("sipherd:pendings_late") == 1


def test_answered_before_awaited(tmp_path: Path) -> None:
    async def policy(request: Request) -> None:
        pending = Pending()
        request.node.pendings.begin(pending, 1.0, request.node.now)
        pending.finish(486)
        request.reply(await pending)

    (answer,) = World(tmp_path, policy=policy).deliver(invite(1), PHONE)
    assert answer.message.status == 486


def test_too_many_questions_are_late_at_once(tmp_path: Path) -> None:
    world, policy = world_of(tmp_path)
    for number in range(bounds.PENDINGS):
        world.deliver(invite(number), PHONE)
    (answer,) = world.deliver(invite(bounds.PENDINGS), PHONE)
    assert answer.message.status == 503
    assert policy.told == [LATE]
    assert world.count("sipherd:pendings_refused") == 1


def test_a_pending_that_nobody_finishes_is_a_mistake(tmp_path: Path) -> None:
    async def nobody(request: Request) -> None:
        await Pending()

    async def another(request: Request) -> None:
        await Outcome()

    for folder, policy in (("a", nobody), ("b", another)):
        (tmp_path / folder).mkdir()
        world = World(tmp_path / folder, policy=policy)
        (answer,) = world.deliver(invite(1), PHONE)
        assert answer.message.status == 500
        assert world.count("sipherd:policy_errors") == 1


def test_durations_are_few() -> None:
    assert {rounded(n / 100) for n in range(1, 1001)} == {n / 10 for n in range(1, 101)}
    assert (rounded(-1.0), rounded(10.4), rounded(1e9)) == (0.1, 10.0, bounds.PENDING_SECONDS)


def test_errands_reach_their_handler(tmp_path: Path) -> None:
    world = World(tmp_path)
    told: list[bytes] = []
    world.node.errands[7] = told.append
    for data in (b"\x07hello", b"\x08nobody knows", b""):
        world.core.receive_batch([(INTERNAL_LISTENER, b"", 0, data)])
    assert told == [b"hello"]
    assert world.count("sipherd:internal_messages") == 3


def test_an_errand_that_fails_costs_nothing_else(tmp_path: Path) -> None:
    def fails(data: bytes) -> None:
        raise RuntimeError

    world = World(tmp_path)
    world.node.errands[1] = fails
    world.core.receive_batch([(INTERNAL_LISTENER, b"", 0, b"\x01")])
    assert world.count("sipherd:internal_errors") == 1
    assert world.collect() == []
