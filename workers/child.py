"""The child table: what kinds of process there are, what became of each, and what to do about it.

`decide` is pure: it looks at how a child ended and at the history of its slot, and nothing else.
The supervisor reaps, asks, and acts; nothing is raised on the way.
"""

from __future__ import annotations

import enum
import signal
import time
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from proxy.errors import ConfigError, ShmError, SipherdError
from workers.edition import Taker, nothing_to_prepare
from workers.priority import make_way

if TYPE_CHECKING:
    from proxy.sip.address import Address
    from workers.edition import Area, Prepare
    from workers.logs import Log
    from workers.mailbox import Mailbox
    from workers.settings import Config
    from workers.shared_page import SharedPage
    from workers.tables import Tables

BOOT_DEADLINE_S: Final = 30.0  # from the fork to the first heartbeat
FREE_FAILURES: Final = 5  # crashes within the window that are made good at once
FREE_EARLY_KILLS: Final = 20  # kills from outside before it was up, likewise
FAILURE_WINDOW_S: Final = 10.0
FIRST_DELAY_S: Final = 0.1
LONGEST_DELAY_S: Final = 30.0


class ExitCode(enum.IntEnum):
    """What a process says by its exit status."""

    OK = 0  # it was asked to stop, and did
    CRASHED = 1  # an exception nobody expected; the log has it
    BOOT_FAILED = 3  # it could not begin its work
    CONFIG_ERROR = 4  # it could not begin, and cannot with this configuration
    SHM_CORRUPT = 5  # a shared file cannot be used


class Restart(enum.Enum):
    """Whether a child that ended is replaced."""

    ALWAYS = "always"
    NEVER = "never"


class Elder(NamedTuple):
    """A worker that was there before another: it may keep calls when it has handed over."""

    place: int
    generation: int
    listeners: tuple[int, ...]  # its number of each of the other's listeners, or -1


class Child:
    """What a child's `run(child) -> int` gets; made in the child itself, after the fork."""

    __slots__ = (
        "_beat",
        "_ready",
        "_taker",
        "area",
        "beaten_at",
        "clusterer",
        "config",
        "first",
        "inbox_eventfds",
        "index",
        "listeners",
        "log",
        "lookups",
        "neighbours",
        "page",
        "parent_fd",
        "predecessors",
        "prepare",
        "reader_eventfds",
        "role",
        "script",
        "secret",
        "slot",
        "sockets",
        "stop_fd",
        "tables",
    )

    config: Config
    role: str
    index: int  # of a worker: its place (proxy/shm/places.py)
    first: bool  # of the children of its role that began together
    slot: int  # row in tables.slots
    neighbours: list[list[int]]  # per listener, another worker's, to read when it does not wake
    sockets: list[list[int]]  # per listener, the descriptors this child reads and sends by
    listeners: list[Address]
    predecessors: list[Elder]
    inbox_eventfds: list[int]  # one per place of a worker
    reader_eventfds: list[int]  # one per reader of the change ring
    beaten_at: float  # when this child's predecessor gave its last sign of life; 0: there was none
    tables: Tables
    stop_fd: int  # readable: stop; to a worker: there are orders
    parent_fd: int  # end of file: the supervisor is gone
    secret: bytes
    log: Log
    clusterer: Mailbox | None  # of the process that tells other nodes
    lookups: Mailbox | None  # of the process that asks web servers
    page: SharedPage  # log levels
    area: Area  # of editions: what a reload offers
    script: bytes  # the policy, compiled
    prepare: Prepare  # for another edition: its run() may put its own here

    def __init__(self, ready: Callable[[], object], **values: object) -> None:
        for name, value in values.items():
            setattr(self, name, value)
        self._ready: Callable[[], object] | None = ready
        self._beat = self.tables.slots.beat
        self._taker = Taker(self.area, self.slot)
        self.prepare = nothing_to_prepare

    def beat(self) -> None:
        """Say that this process is alive; the first time, that it is up."""
        self._beat(self.slot, time.monotonic_ns() // 1_000_000)
        if self._ready is not None:
            self._ready()
            self._ready = None
        self._taker.look(self)

    def pause(self) -> None:
        """Between two stretches of long work: alive, and after whoever waits for the processor."""
        self.beat()
        make_way()

    @property
    def up(self) -> bool:
        """Whether the first heartbeat has been given."""
        return self._ready is None


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """A kind of process: one row of the table."""

    role: str
    target: Callable[[Child], int]
    count: int = 1
    reads_sockets: bool = False
    restart: Restart = Restart.ALWAYS
    stop_signal: int | None = None  # sent besides making stop_fd readable
    grace_s: float = 5.0

    def title(self, index: int) -> str:
        """How process lists name child `index`."""
        return (
            self.role if self.count == 1 and not self.reads_sockets else f"{self.role} {index + 1}"
        )


def run_target(child: Child, spec: ChildSpec) -> int:
    """Run a child's target; every way it can end becomes an exit code."""
    try:
        return spec.target(child)
    except ConfigError as error:
        child.log.error("cannot start", reason=error)
        return ExitCode.CONFIG_ERROR
    except ShmError as error:
        child.log.error("shared file unusable", reason=error)
        return ExitCode.CRASHED if child.up else ExitCode.SHM_CORRUPT
    except SipherdError as error:
        child.log.error("stopped by an error" if child.up else "cannot start", reason=error)
        return ExitCode.CRASHED if child.up else ExitCode.BOOT_FAILED
    except Exception as error:  # noqa: BLE001 - the one place that may: it ends the process
        trace = "".join(traceback.format_tb(error.__traceback__))
        child.log.error("unexpected error", error=repr(error), trace=trace[-2_500:])
        return ExitCode.CRASHED if child.up else ExitCode.BOOT_FAILED


@dataclass(slots=True)
class Slot:
    """One child's place: it stays when the process in it changes."""

    spec: ChildSpec
    index: int
    row: int
    image: int = 0  # the number of the program that it runs
    pid: int = 0
    stop_fd: int = -1
    started_at: float = 0.0
    up_at: float | None = None  # since when it beats
    ever_up: bool = False
    heartbeat: int = 0
    heartbeat_at: float = 0.0
    generation: int = 0  # of workers; 0: it is none
    number: int = 0  # within its generation
    leaving: bool = False  # it is meant to end
    found_slow: bool = False  # and said so, since it last gave a sign of life
    aborted_at: float | None = None
    respawn_at: float | None = None
    ends_by: float | None = None  # asked to make room for its successor; killed then
    failures: deque[float] = field(default_factory=lambda: deque(maxlen=64))

    @property
    def title(self) -> str:
        """How process lists name it."""
        return self.spec.title(self.index)


@dataclass(frozen=True, slots=True)
class Exit:
    """How a process ended: by `code`, or by `signal`."""

    pid: int
    code: int | None
    signal: int | None = None

    def __str__(self) -> str:
        if self.signal is not None:
            return f"killed by {_signal_name(self.signal)}"
        names = {code.value: code.name.lower().replace("_", " ") for code in ExitCode}
        return f"exit status {self.code} ({names.get(self.code or 0, 'unknown')})"


@dataclass(frozen=True, slots=True)
class Expected:
    """Nothing to do: it was meant to end."""


@dataclass(frozen=True, slots=True)
class Replace:
    """Fork it again, now or after a while."""

    after_s: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Stop the whole server: `reason` is the sentence."""

    reason: str


Decision = Expected | Replace | GiveUp
_FATAL_AT_BOOT: Final = {ExitCode.BOOT_FAILED, ExitCode.CONFIG_ERROR, ExitCode.SHM_CORRUPT}
FROM_OUTSIDE: Final = {signal.SIGKILL, signal.SIGTERM}


def decide(exit: Exit, slot: Slot, stopping: bool, now: float) -> Decision:
    """What to do about the end of the process that was in `slot`."""
    if stopping or slot.spec.restart is Restart.NEVER:
        return Expected()
    if not slot.ever_up and exit.code in _FATAL_AT_BOOT:
        return GiveUp(f"{slot.title} could not start")
    if not slot.ever_up and slot.aborted_at is not None:
        return GiveUp(f"{slot.title} did not come up within {BOOT_DEADLINE_S:.0f} s")
    if _is_other_peoples_doing(exit, slot) and slot.up_at is not None:
        return Replace(0.0)  # it says nothing about the next one
    recent = 1 + sum(1 for at in slot.failures if now - at <= FAILURE_WINDOW_S)
    if not slot.ever_up and recent > FREE_FAILURES:
        return GiveUp(f"{slot.title} ended {recent} times before it was up: {exit}")
    free = _free_failures(exit, slot)
    if recent <= free:
        return Replace(0.0)
    return Replace(min(LONGEST_DELAY_S, FIRST_DELAY_S * 2.0 ** (_streak(slot, now) - free)))


def _is_other_peoples_doing(exit: Exit, slot: Slot) -> bool:
    """Whether somebody ended it from outside; what we kill ourselves for hanging does not count."""
    return exit.signal in FROM_OUTSIDE and slot.aborted_at is None


def _free_failures(exit: Exit, slot: Slot) -> int:
    """How many ends within the window are made good at once."""
    if _is_other_peoples_doing(exit, slot):
        return FREE_EARLY_KILLS  # bounded, for the kernel may be killing it for its memory
    return FREE_FAILURES if slot.up_at is not None else 1


def note_failure(exit: Exit, slot: Slot, now: float) -> None:
    """Remember the end of a process that nobody asked for, for the next decision."""
    if slot.up_at is None or not _is_other_peoples_doing(exit, slot):
        slot.failures.append(now)


def _streak(slot: Slot, now: float) -> int:
    """How many failures follow each other without a good while between them; this one counts."""
    streak, later = 1, now
    for at in reversed(slot.failures):
        if later - at > FAILURE_WINDOW_S + LONGEST_DELAY_S:
            break
        streak, later = streak + 1, at
    return streak


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
