"""An operating system without processes: a clock, numbers that stand for children, their rows."""

from __future__ import annotations

import os
import signal
from collections import Counter, deque
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Final

from proxy.shm.places import Order, Places
from proxy.shm.shards import Shards
from workers import signals
from workers.child import ChildSpec, Exit
from workers.edition import Area
from workers.handover import Lineage
from workers.setting_types import Endpoint
from workers.sockets import SocketError
from workers.supervisor import Supervisor
from workers.systemd import ServiceManager

MOST_WAITS: Final = 20_000


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
        self.waits = 0
        self.script: list[Any] = []
        self.pids = iter(range(1_000, 100_000))
        self.at_each_wait: Callable[[], None] = lambda: None

    def now(self) -> float:
        return self.clock

    def fork(self, child: Callable[[], int]) -> int:
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

    def hurry(self, pid: int) -> None:
        pass

    def end(self, pid: int, code: int | None, number: int | None = None) -> None:
        if self.living.pop(pid, None):
            self.ended.append(Exit(pid, code, number))

    def reap(self, ended: deque[Exit]) -> None:
        ended.extend(self.ended)
        self.ended = []

    def wait(self, timeout_s: float | None, found: deque[int]) -> None:
        assert timeout_s is not None
        self.waits += 1
        if self.waits >= MOST_WAITS:
            raise SystemExit("it never ends")  # what is a mere exception is survived
        if self.script:
            self.script.pop(0)()
        elif not self.ended:  # an end wakes the supervisor at once
            self.clock += max(timeout_s, 0.001)
        self.at_each_wait()
        found.extend(self.signals)
        self.signals = []


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

    def __init__(self, machine: Machine, drain_s: float) -> None:
        self.machine = machine
        self.rows = Rows()
        self.said: list[str] = []
        self.closed: list[bool] = []
        self.up: set[int] = set()
        say = self._say
        self.log = SimpleNamespace(debug=say, info=say, notice=say, warning=say, error=say)
        self.config = SimpleNamespace(
            workers=SimpleNamespace(
                slow_seconds=3.0, hang_seconds=10.0, udp=2, drain_seconds=drain_s
            ),
            listen=SimpleNamespace(udp=(Endpoint("127.0.0.1", 5060),)),
            limits=SimpleNamespace(timer_c_seconds=181),
        )
        self.tables = SimpleNamespace(
            slots=self.rows,
            location=SimpleNamespace(count=0, capacity=10, gauges=lambda: (0, 0)),
            close=lambda clean: self.closed.append(clean),
            places=Places.create(None),
            shards=Shards.create(None, 2),
        )
        for place in range(2):
            self.tables.places.enter(place, 1, Order.SERVE)
        self.area = Area()
        self.no_room = False
        self.nice = 0
        self.manager = ServiceManager()
        self.lineage = Lineage()
        sink = SimpleNamespace(waiting=False, flush=lambda: None)
        self.journal = SimpleNamespace(sink=sink, pass_on=lambda: None)

    def _say(self, event: str, **fields: object) -> None:
        self.said.append(f"{event} {fields}")

    def open_slot(self, slot: Any) -> None:
        if slot.stop_fd >= 0:
            os.close(slot.stop_fd)
        slot.stop_fd = os.eventfd(0, os.EFD_NONBLOCK)

    def keep_sockets(self) -> None:
        pass

    def make_room(self, endpoints: Any, places: list[int]) -> None:
        if self.no_room:
            raise SocketError("udp 192.0.2.1:5060 cannot be listened on.")

    def give_back(self, used: Any) -> None:
        pass

    def bind_sockets(self) -> None:
        pass

    def wake_workers(self) -> None:
        pass

    def take_over(self, edition: Any) -> None:
        self.config = edition.config

    def newly_up(self, found: set[int]) -> None:
        found |= self.up
        self.up = set()


class World:
    def __init__(self, drain_s: float = 0.0) -> None:
        self.machine = Machine()
        self.property = Property(self.machine, drain_s)
        specs = [
            ChildSpec("control", lambda child: 0, grace_s=5.0),
            ChildSpec("udp worker", lambda child: 0, count=2, reads_sockets=True, grace_s=5.0),
        ]
        self.supervisor = Supervisor(specs, self.property, self.machine)  # type: ignore[arg-type]

    @property
    def pids(self) -> list[int]:
        return [slot.pid for slot in self.supervisor.slots]

    @property
    def stop_fds(self) -> list[int]:
        return [slot.stop_fd for slot in self.supervisor.slots if slot.stop_fd >= 0]

    def close(self) -> None:
        for fd in self.stop_fds:
            os.close(fd)
        self.property.tables.places.arena.close()
        self.property.tables.shards.arena.close()
        os.close(self.property.area.fd)

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
