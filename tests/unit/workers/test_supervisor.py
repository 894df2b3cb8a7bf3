"""The supervisor's decisions over time, on a simulated operating system."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from proxy.limits import counters
from workers import signals
from workers.child import BOOT_DEADLINE_S, ChildSpec, Exit, ExitCode
from workers.handover import Lineage
from workers.supervisor import ABORT_GRACE_S, Stage, Supervisor
from workers.systemd import ServiceManager


class Machine:
    """Processes that exist as numbers only, and a clock that moves when the supervisor waits."""

    def __init__(self) -> None:
        self.clock = 100.0
        self.living: dict[int, str] = {}
        self.ended: list[Exit] = []
        self.sent: list[tuple[int, int]] = []
        self.signals: list[int] = []
        self.deaf = False
        self.fork_fails = 0
        self.forks = 0
        self.script: list[Any] = []
        self.pids = iter(range(1_000, 100_000))

    def now(self) -> float:
        return self.clock

    def fork(self) -> int:
        if self.fork_fails:
            self.fork_fails -= 1
            raise BlockingIOError(11, "Resource temporarily unavailable")
        self.forks += 1
        pid = next(self.pids)
        self.living[pid] = "alive"
        return pid

    def kill(self, pid: int, number: int) -> None:
        self.sent.append((pid, number))
        if number == signal.SIGKILL or (not self.deaf and number != signals.TRACE):
            self.end(pid, None, number)

    def end(self, pid: int, code: int | None, number: int | None = None) -> None:
        if self.living.pop(pid, None):
            self.ended.append(Exit(pid, code, number))

    def reap(self) -> list[Exit]:
        ended, self.ended = self.ended, []
        return ended

    def wait(self, timeout_s: float | None) -> list[int]:
        assert timeout_s is not None
        if self.script:
            self.script.pop(0)()
        elif not self.ended:  # an end wakes the supervisor at once
            self.clock += max(timeout_s, 0.001)
        signals, self.signals = self.signals, []
        return signals


class Rows:
    """The process table: heartbeats as tests set them, counters as they are counted."""

    def __init__(self) -> None:
        self.beats: Counter[int] = Counter()
        self.counted: Counter[int] = Counter()
        self.gauges_cleared: list[int] = []
        self.released: list[int] = []

    def row(self, row: int) -> Any:
        return SimpleNamespace(heartbeat=self.beats[row], pid=1)

    def counters(self, row: int) -> Any:
        return SimpleNamespace(
            add=lambda column, n=1: self.counted.update({column: n}),
            set=lambda column, value: self.gauges_cleared.append(row),
        )

    def release(self, row: int) -> None:
        self.released.append(row)


class Property:
    """The holdings of a supervisor that owns nothing real but its eventfds."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.rows = Rows()
        self.said: list[str] = []
        self.closed: list[bool] = []
        self.up: set[int] = set()
        self.stop_fds: list[int] = []
        say = self._say
        self.log = SimpleNamespace(debug=say, info=say, notice=say, warning=say, error=say)
        self.config = SimpleNamespace(
            workers=SimpleNamespace(slow_seconds=3.0, hang_seconds=10.0, udp=2),
            listen=SimpleNamespace(udp=("127.0.0.1:5060",)),
        )
        self.tables = SimpleNamespace(
            slots=self.rows,
            location=SimpleNamespace(count=0, capacity=10, gauges=lambda: (0, 0)),
            close=lambda clean: self.closed.append(clean),
        )
        self.manager = ServiceManager()
        self.lineage = Lineage()
        sink = SimpleNamespace(waiting=False, flush=lambda: None)
        self.journal = SimpleNamespace(sink=sink, pass_on=lambda: None)

    def _say(self, event: str, **fields: object) -> None:
        self.said.append(f"{event} {fields}")

    def open_slot(self, slot: Any) -> None:
        slot.stop_fd = os.eventfd(0, os.EFD_NONBLOCK)
        self.stop_fds.append(slot.stop_fd)

    def keep_sockets(self) -> None:
        pass

    def newly_up(self) -> set[int]:
        up, self.up = self.up, set()
        return up


class World:
    def __init__(self) -> None:
        self.machine = Machine()
        self.property = Property(self.machine)
        specs = [
            ChildSpec("control", lambda child: 0, grace_s=5.0),
            ChildSpec("udp worker", lambda child: 0, count=2, reads_sockets=True, grace_s=5.0),
        ]
        self.supervisor = Supervisor(specs, self.property, self.machine)  # type: ignore[arg-type]

    @property
    def pids(self) -> list[int]:
        return [slot.pid for slot in self.supervisor.slots]

    def run(self, *steps: Any) -> int:
        """Live through `steps`, then through a TERM that everybody obeys."""
        self.machine.script = [self.all_up, *steps, self.term, self.all_end]
        return self.supervisor.run()

    def all_up(self) -> None:
        self.property.up = set(self.machine.living)

    def term(self) -> None:
        self.machine.signals = [signal.SIGTERM]

    def all_end(self) -> None:
        for pid in list(self.machine.living):
            self.machine.end(pid, 0)

    def later(self, seconds: float) -> Any:
        def step() -> None:
            self.machine.clock += seconds
            for slot in self.supervisor.slots:
                self.property.rows.beats[slot.row] += 1

        return step

    def silent(self, seconds: float, row: int) -> Any:
        def step() -> None:
            before = self.property.rows.beats[row]
            self.later(seconds)()
            self.property.rows.beats[row] = before

        return step


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    for fd in made.property.stop_fds:
        os.close(fd)


def test_a_quiet_life(world: World) -> None:
    assert world.run(world.later(60.0)) == 0
    assert world.machine.forks == 3
    assert world.property.closed == [True]
    assert world.property.rows.released == [1, 2, 3, 0]
    assert any(line.startswith("running ") for line in world.property.said)


def test_stopping_writes_every_stop_fd(world: World) -> None:
    assert world.run() == 0
    assert [os.eventfd_read(fd) for fd in world.property.stop_fds] == [1, 1, 1]


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
    assert world.property.rows.gauges_cleared == [2] * len(counters.GAUGES)


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


def test_a_silent_child_is_aborted_then_killed(world: World) -> None:
    world.machine.deaf = True
    victim: list[int] = []

    def note() -> None:
        victim.append(world.pids[1])

    steps = [world.silent(1.0, 2) for _ in range(11)]
    grace = [world.silent(ABORT_GRACE_S, 2)] * 2
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


@pytest.mark.parametrize("number", [signal.SIGTTOU, signal.SIGTTIN])
def test_signals_of_later_days_do_nothing(world: World, number: int) -> None:
    def send() -> None:
        world.machine.signals = [number] * 100

    assert world.run(send) == 0
    assert world.machine.forks == 3
    assert world.supervisor.life.stage is Stage.STOPPED
