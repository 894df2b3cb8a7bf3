"""The supervisor's decisions over time, on a simulated operating system."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from simulated_system import World

from proxy.limits import counters
from workers import signals
from workers.child import BOOT_DEADLINE_S, Exit, ExitCode
from workers.shared_page import FIRST_WORKER_ROW as FIRST_ROW
from workers.supervisor import ABORT_GRACE_S, FAULTS_BORNE


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.close()


def test_a_quiet_life(world: World) -> None:
    assert world.run(world.later(60.0)) == 0
    assert world.machine.forks == 3
    assert world.property.closed == [True]
    assert world.property.rows.released == [1, FIRST_ROW, FIRST_ROW + 1, 0]
    assert any(line.startswith("running ") for line in world.property.said)


def test_stopping_writes_every_stop_fd(world: World) -> None:
    assert world.run() == 0
    assert all(os.eventfd_read(fd) for fd in world.stop_fds)


def test_the_dead_are_replaced_in_the_same_turn(world: World) -> None:
    seen: list[list[int]] = []

    def kill() -> None:
        seen.append(world.pids)
        world.machine.end(world.pids[1], None, signal.SIGKILL)

    def look() -> None:
        seen.append(world.pids)

    assert world.run(kill, look, world.all_up) == 0
    before, after = seen
    assert (before[0], before[2]) == (after[0], after[2])
    assert after[1] not in {0, before[1]}
    assert world.property.rows.counted[counters.RESTARTS] == 1
    assert world.property.rows.gauges_cleared[: len(counters.GAUGES)] == [FIRST_ROW] * len(
        counters.GAUGES
    )


def test_a_boot_failure_at_the_start_ends_the_server(world: World) -> None:
    world.machine.script = [
        lambda: world.machine.end(world.pids[1], ExitCode.BOOT_FAILED),
        lambda: world.machine.end(world.pids[2], ExitCode.BOOT_FAILED),
        world.all_end,
    ]
    assert world.supervisor.run() == 1
    assert world.machine.forks == 3
    assert sum("giving up" in line for line in world.property.said) == 1


def test_a_boot_failure_later_is_tried_again(world: World) -> None:
    def fail() -> None:
        world.machine.end(world.pids[1], ExitCode.BOOT_FAILED)

    def wait() -> None:
        world.machine.clock += 40.0

    assert world.run(fail, fail, wait, world.all_up) == 0
    assert world.machine.forks == 5


def test_an_unknown_child_is_ignored(world: World) -> None:
    def stray() -> None:
        world.machine.ended.append(Exit(7, 1))

    assert world.run(stray) == 0
    assert world.machine.forks == 3


def test_a_fork_that_fails_is_tried_again(world: World) -> None:
    def kill() -> None:
        world.machine.fork_fails = 3
        world.machine.end(world.pids[2], None, signal.SIGKILL)

    def wait() -> None:
        world.machine.clock += 0.11

    assert world.run(kill, wait, wait, wait, world.all_up) == 0
    assert world.machine.forks == 4
    assert sum("cannot fork" in line for line in world.property.said) == 3


def once(world: World, holder: Any, name: str, error: Exception, times: int = 1) -> None:
    """Let a call fail a few times, then be what it was."""
    whole, left = getattr(holder, name), [times]

    def failing(*args: Any, **named: Any) -> Any:
        if left[0]:
            left[0] -= 1
            raise error
        return whole(*args, **named)

    setattr(holder, name, failing)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(24, "Too many open files"), "Too many open files"),
        (MemoryError(), "no memory"),
        (SystemError("error return"), "no memory, or: error return"),
    ],
)
def test_a_descriptor_that_is_refused_is_tried_again(
    world: World, error: Exception, reason: str
) -> None:
    def kill() -> None:
        once(world, world.property, "open_slot", error)
        world.machine.end(world.pids[2], None, signal.SIGKILL)

    def wait() -> None:
        world.machine.clock += 0.11

    assert world.run(kill, wait, world.all_up) == 0
    assert world.machine.forks == 4
    assert f"cannot fork {{'what': 'udp worker 2', 'reason': '{reason}'}}" in world.property.said


def test_whatever_keeps_a_child_from_being_forked_it_is_tried_again(world: World) -> None:
    def kill() -> None:
        once(world, world.property, "open_slot", ValueError("?"))
        world.machine.end(world.pids[2], None, signal.SIGKILL)

    def wait() -> None:
        world.machine.clock += 0.11

    assert world.run(kill, wait, wait, world.all_up) == 0
    assert world.machine.forks == 4
    assert sum(line.startswith("supervisor goes on") for line in world.property.said) == 1


def test_a_place_that_cannot_be_begun_is_tried_again(world: World) -> None:
    def wait() -> None:
        world.machine.clock += 0.11

    places = world.property.tables.places
    begun: list[int] = []

    def begin(place: int) -> None:
        begun.append(place)
        if len(begun) == 1:
            raise MemoryError
        places.begin(place)

    class Failing:
        def __getattr__(self, name: str) -> Any:
            return begin if name == "begin" else getattr(places, name)

    def strike() -> None:
        world.property.tables.places = Failing()
        world.machine.end(world.pids[2], None, signal.SIGKILL)

    assert world.run(strike, wait, world.all_up) == 0
    assert world.machine.forks == 4
    assert len(begun) == 2


def test_an_order_that_failed_for_want_of_memory_is_obeyed_in_the_next_turn(world: World) -> None:
    def term() -> None:
        once(world, world.property.manager, "stopping", MemoryError(), times=3)
        world.machine.signals = [signal.SIGTERM]

    nothing = [lambda: None] * 3
    world.machine.script = [world.all_up, term, *nothing, world.all_end]
    assert world.supervisor.run() == 0
    assert world.property.closed == [True]
    assert sum(line.startswith("supervisor goes on") for line in world.property.said) == 3


@pytest.mark.parametrize("name", ["release", "counters"])
def test_an_end_that_could_not_be_noted_is_made_good_all_the_same(world: World, name: str) -> None:
    def kill() -> None:
        once(world, world.property.rows, name, MemoryError())
        world.machine.end(world.pids[1], None, signal.SIGKILL)

    assert world.run(kill, world.all_up, world.all_up) == 0
    assert world.machine.forks == 4
    assert world.property.closed == [True]


def test_who_is_up_and_could_not_be_noted_is_noted_in_the_next_turn(world: World) -> None:
    once(world, world.property.log, "debug", MemoryError(), times=2)
    world.machine.script = [world.all_up, *[lambda: None] * 2, world.term, world.all_end]
    assert world.supervisor.run() == 0
    assert sum(line.startswith("running ") for line in world.property.said) == 1


@pytest.mark.parametrize("name", ["keep_sockets", "gauges", "ready"])
def test_the_start_is_told_again_if_that_failed(world: World, name: str) -> None:
    told: list[str] = []
    manager = world.property.manager
    manager.ready = told.append  # type: ignore[method-assign]
    holder = {"ready": manager, "gauges": world.property.tables.location}
    once(world, holder.get(name, world.property), name, MemoryError())
    assert world.run(world.later(1.0)) == 0
    assert any(line.startswith("running ") for line in world.property.said)
    assert told == ["running"]


def test_an_order_that_can_never_be_obeyed_stops_nothing_else(world: World) -> None:
    def hang_up() -> None:
        once(world, world.supervisor, "_on_signal", ValueError("?"), times=FAULTS_BORNE + 1)
        world.machine.signals = [signal.SIGHUP]

    assert world.run(hang_up, *[lambda: None] * FAULTS_BORNE, world.later(1.0)) == 0
    assert world.machine.forks == 3


def test_tables_that_cannot_be_closed_do_not_keep_the_server_from_ending(world: World) -> None:
    once(world, world.property.tables, "close", MemoryError())
    assert world.run() == 0
    assert any(line.startswith("supervisor goes on") for line in world.property.said)


def test_a_silent_child_is_aborted_then_killed(world: World) -> None:
    world.machine.deaf = True
    victim: list[int] = []

    def note() -> None:
        victim.append(world.pids[1])

    steps = [world.silent(1.0, FIRST_ROW) for _ in range(11)]
    grace = [world.silent(ABORT_GRACE_S, FIRST_ROW)] * 2
    assert world.run(note, *steps, *grace, world.all_up) == 0
    # First it is asked where it is, and only once.
    numbers = (signals.TRACE, signal.SIGABRT, signal.SIGKILL)
    assert world.machine.sent == [(victim[0], number) for number in numbers]
    assert world.property.rows.counted[counters.SLOW_TURNS] == 1
    assert world.property.rows.counted[counters.HANGS] == 1
    assert world.machine.forks == 4


def test_a_long_sleep_of_all_is_no_hang(world: World) -> None:
    def sleep() -> None:
        world.machine.clock += 3_600.0

    assert world.run(sleep, world.later(1.0), world.later(1.0)) == 0
    assert world.machine.sent == []


def test_a_child_that_hangs_at_start_ends_the_server(world: World) -> None:
    def all_but_one() -> None:
        world.property.up = set(world.pids[:2])

    def wait() -> None:
        world.machine.clock += 1.0

    world.machine.script = [all_but_one, *[wait] * (int(BOOT_DEADLINE_S) + 2), world.all_end]
    assert world.supervisor.run() == 1
    assert (1_002, signal.SIGABRT) in world.machine.sent
    assert any("did not come up within 30 s" in line for line in world.property.said)


def test_the_deaf_are_killed_when_the_grace_is_over(world: World) -> None:
    world.machine.script = [world.all_up, world.term]
    began = world.machine.clock
    assert world.supervisor.run() == 0
    assert world.machine.clock - began == pytest.approx(5.0, abs=0.01)
    sent = [number for _, number in world.machine.sent if number != signals.TRACE]
    assert sent == [signal.SIGKILL] * 3
    assert world.property.closed == [False]


def test_a_second_term_shortens_the_grace(world: World) -> None:
    world.machine.script = [world.all_up, world.term, world.term]
    began = world.machine.clock
    assert world.supervisor.run() == 0
    assert world.machine.clock - began < 0.1


def test_quit_kills_at_once(world: World) -> None:
    def quit() -> None:
        world.machine.signals = [signal.SIGQUIT]

    world.machine.script = [world.all_up, quit]
    began = world.machine.clock
    assert world.supervisor.run() == 0
    assert world.machine.clock - began < 0.1


def test_a_death_while_stopping_is_not_replaced(world: World) -> None:
    def die() -> None:
        world.machine.end(world.pids[1], None, signal.SIGSEGV)

    world.machine.script = [world.all_up, world.term, die, world.all_end]
    assert world.supervisor.run() == 0
    assert world.machine.forks == 3
    assert world.property.closed == [False]
