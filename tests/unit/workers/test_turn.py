"""A worker's turn, without sockets: what fails costs no more than itself, and what wakes it."""

from __future__ import annotations

import os
import select
import time
from pathlib import Path
from typing import Any

import pytest

from proxy.limits import counters as ids
from proxy.shm.inbox import Inbox
from proxy.sip.address import address_of
from tests.scenarios.world import World
from workers.turn import IDLE_SECONDS, Turn

BATCH = 64
FEWEST = 8
QUESTION = (
    b"OPTIONS sip:192.0.2.100 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK%d\r\n"
    b"Max-Forwards: 70\r\nFrom: <sip:a@example.com>;tag=1\r\nTo: <sip:192.0.2.100>\r\n"
    b"Call-ID: 1\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
)
PEER = address_of(b"192.0.2.1", 5060)


class Silent:
    """A resolver that is asked nothing."""

    def __init__(self) -> None:
        self.running: dict[object, object] = {}
        self.waiting: dict[object, object] = {}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def turn(world: World) -> Turn:
    nothing: Any = None
    resolver: Any = Silent()
    wake_fd = os.eventfd(0, os.EFD_NONBLOCK)
    inbox = Inbox.create(size=4096)
    return Turn(world.core, [], nothing, inbox, wake_fd, nothing, resolver, nothing)


def test_what_fails_when_time_passes_costs_no_more(turn: Turn, world: World) -> None:
    told: list[str] = []

    def fail(now: float) -> None:
        raise RuntimeError("late")

    turn.waits.append(fail)
    turn.each_second.append(lambda: told.append("second"))
    for now in (10.0, 10.5, 11.0):
        turn.let_time_pass(now)
    assert told == ["second", "second"]
    assert [event[1] for event in world.log.events] == ["internal error"] * 3


def test_only_others_events_are_told(turn: Turn) -> None:
    mine, other = (turn.wake_fd, select.EPOLLIN), (77, select.EPOLLIN)
    assert turn.rest(lambda patience: [mine, other]) == [other]
    assert turn.counters.get(ids.INBOX_WAKEUPS) == 1


def test_only_sockets_with_something_in_them_are_read(turn: Turn) -> None:
    first, second = Queued(1_000, 1), Queued(1_000, 1)
    turn.reading.extend([first, second])  # type: ignore[list-item]
    turn.by_descriptor.update({61: first, 62: second})  # type: ignore[dict-item]
    turn.take()
    assert (first.reads, second.reads) == (1, 1)  # epoll has not been asked
    assert turn.rest(lambda patience: [(62, select.EPOLLIN)]) == []
    turn.take()
    assert (first.reads, second.reads) == (1, 2)
    assert turn.rest(lambda patience: [(turn.wake_fd, select.EPOLLIN)]) == []
    turn.take()
    assert (first.reads, second.reads) == (1, 2)


def test_a_successor_looks_at_when_its_predecessor_was_awake(turn: Turn, world: World) -> None:
    turn.reading.append(Waiting())  # type: ignore[arg-type]
    turn.taken_at = time.monotonic() - 10
    turn.take()
    assert turn.reading[0].waits == 0
    turn.take()
    assert [event[1] for event in world.log.events] == ["stood still"]


class Waiting:
    """A socket with datagrams that wait."""

    fd, listener, guard, waited_ns = 5, 0, None, 0

    def __init__(self) -> None:
        self.waits = 3

    def receive(
        self, handoff: object, now_ns: int, most_ns: int, batch: list[object], limit: int
    ) -> int:
        return 0

    def discard(self) -> int:
        count, self.waits = self.waits, 0
        return count


def test_what_came_while_we_stood_still_is_not_acted_on(turn: Turn, world: World) -> None:
    turn.reading.append(Waiting())  # type: ignore[arg-type]
    turn.take()
    turn.take()
    assert turn.reading[0].waits == 3
    counters = turn.counters
    with pytest.MonkeyPatch.context() as patch:
        later = time.monotonic() + 2.5
        patch.setattr(time, "monotonic", lambda: later)
        turn.take()
    assert turn.reading[0].waits == 0
    assert counters.get(ids.STALE_DATAGRAMS) == 3
    assert world.log.events[-1][1] == "stood still"


class Queued(Waiting):
    """A socket whose batches are full, of datagrams that have waited for so long."""

    def __init__(self, waited_ns: int, count: int = BATCH) -> None:
        super().__init__()
        self.waited_ns = waited_ns
        self.count = count
        self.reads = 0

    def receive(
        self, handoff: object, now_ns: int, most_ns: int, batch: list[object], limit: int
    ) -> int:
        self.reads += 1
        count = min(self.count, limit)
        batch += [(0, PEER.sockaddr, now_ns - self.waited_ns, b"\r\n")] * count
        return count


class Asked(Queued):
    """A socket with so many requests, and how many answers it was given at a time."""

    def __init__(self, count: int) -> None:
        super().__init__(1_000, count)
        self.sent: list[int] = []

    def receive(
        self, handoff: object, now_ns: int, most_ns: int, batch: list[object], limit: int
    ) -> int:
        batch += [(0, PEER.sockaddr, now_ns, QUESTION % n) for n in range(self.count)]
        return self.count

    def send(self, outbox: list[object], failed: list[object]) -> None:
        self.sent.append(len(outbox))


@pytest.mark.parametrize(("count", "sent"), [(3, [3]), (10, [4, 4, 2]), (16, [4] * 4), (17, [17])])
def test_of_a_few_the_first_are_answered_before_the_last_are_looked_at(
    turn: Turn, count: int, sent: list[int]
) -> None:
    asked: Any = Asked(count)
    turn.sockets.append(asked)
    turn.senders[0] = asked
    turn.reading.append(asked)
    turn.take()
    assert asked.sent == sent


class Laborious(Queued):
    """What takes three milliseconds of work a turn."""

    def receive(
        self, handoff: object, now_ns: int, most_ns: int, batch: list[object], limit: int
    ) -> int:
        until = time.thread_time() + 0.003
        while time.thread_time() < until:
            pass
        return super().receive(handoff, now_ns, most_ns, batch, limit)


def test_when_each_takes_long_fewer_are_taken_in_at_a_time(turn: Turn) -> None:
    turn.reading.append(Laborious(1_000))  # type: ignore[arg-type]
    assert turn.most == BATCH
    for _ in range(5):
        assert turn.take()
    assert turn.most == FEWEST
    turn.reading[0] = Queued(1_000, 1)  # type: ignore[call-overload]
    for _ in range(3):
        assert not turn.take()
    assert turn.most == BATCH


def test_a_queue_that_stands_is_told_to_the_shedder(turn: Turn, world: World) -> None:
    shedder = world.node.shedder
    turn.reading.append(Queued(40_000_000, BATCH - 1))  # type: ignore[arg-type]
    assert not turn.take()
    assert (turn.waited_ns, turn.standing_ns) == (40_000_000, 0)
    assert not shedder.active
    turn.reading.append(Queued(30_000_000))  # type: ignore[arg-type]
    assert turn.take()
    assert (turn.waited_ns, turn.standing_ns) == (40_000_000, 30_000_000)
    assert shedder.active
    assert shedder.late_before_ns == 0


def test_what_is_late_is_known_by_when_it_was_received(turn: Turn, world: World) -> None:
    shedder = world.node.shedder
    turn.reading.append(Queued(600_000_000, 1))  # type: ignore[arg-type]
    turn.take()
    assert shedder.active
    assert shedder.late
    turn.inbox.push(0, PEER.sockaddr, time.time_ns() - 900_000_000, b"\r\n")
    turn.reading.clear()
    turn.take()
    assert turn.waited_ns >= 900_000_000
    assert shedder.late
    turn.inbox.push(0xFFFF, b"", 0, b"\0")  # an errand has no time
    turn.take()
    assert turn.waited_ns == 0
    assert not shedder.active
    assert not shedder.late


def test_nobody_sleeps_on_a_full_inbox(turn: Turn) -> None:
    slept: list[float] = []

    def sleep(patience: float) -> list[tuple[int, int]]:
        slept.append(patience)
        return []

    turn.inbox.push(0, b"", 0, b"a message")
    assert turn.rest(sleep) == []
    assert slept == []
    turn.inbox.pop(64)
    turn.rest(sleep)
    assert slept == [IDLE_SECONDS]
