"""The supervisor: it forks, watches, replaces and stops the children, and does nothing else.

Its life is a stage with a deadline, and one loop: wait for whatever comes first, read the signals,
reap, watch, act on what is due. Nothing sleeps elsewhere and nothing is raised out of the loop:
what the system refuses costs a line in the log, and is tried again in the next turn.
"""

from __future__ import annotations

import contextlib
import enum
import os
import signal
import traceback
from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import Final

from proxy.limits import counters
from workers import signals
from workers.adoption import Family
from workers.child import (
    BOOT_DEADLINE_S,
    ChildSpec,
    Exit,
    ExitCode,
    Expected,
    GiveUp,
    Replace,
    Slot,
    decide,
    note_failure,
    run_target,
)
from workers.generations import Generations, first_slots, ring
from workers.holdings import Holdings
from workers.reload import Reload
from workers.system import REFUSED, System, reason_of
from workers.upgrade import Upgrade

ABORT_GRACE_S: Final = 1.0  # for writing the traces of a process that hangs
WATCH_S: Final = 0.5
FLUSH_S: Final = 0.05
FORK_RETRY_S: Final = 0.1
FAULT_PAUSE_S: Final = 0.05  # before the turn that follows a failed one
FAULTS_BORNE: Final = 5  # failed turns, before the signal or end they failed on is dropped
LOOK_S: Final = 0.01  # whether the workers have anything left


class Stage(enum.Enum):
    """Where in its life the supervisor is."""

    STARTING = "starting"
    RUNNING = "running"
    DRAINING = "draining"  # what is under way is finished, nothing new is begun
    STOPPING = "stopping"
    STOPPED = "stopped"


ENDING: Final = frozenset({Stage.DRAINING, Stage.STOPPING})


@dataclass(slots=True)
class Life:
    """The stage, and until when it may last."""

    stage: Stage = Stage.STARTING
    deadline: float | None = None
    told: Stage | None = None  # the last stage that everybody concerned has been told
    over: bool = False  # plainly said, for the loop must not fail where nothing catches it
    exit_status: int = 0
    clean: bool = True  # no child had to be killed while it was stopping


class Supervisor:
    """The one loop over the child table."""

    def __init__(
        self,
        specs: list[ChildSpec],
        holdings: Holdings,
        system: System,
        adopted: Family | None = None,
    ) -> None:
        self.holdings = holdings
        self.log = holdings.log
        self.life = Life() if adopted is None else Life(Stage.RUNNING, told=Stage.RUNNING)
        self.slots = first_slots(specs) if adopted is None else adopted.slots
        self._system = system
        crews = None if adopted is None else adopted.generations
        self.generations = Generations(holdings, system, self.slots, self._spawn, crews)
        self.reload = Reload(holdings, system, self.generations)
        self._upgrade = Upgrade(
            holdings, system, self.generations, self.slots, self.reload, self._make_room
        )
        self._pid = os.getpid()
        self._watched_at = self._fed_at = system.now()
        # What has been taken from the kernel and will not come again stays here until it is done.
        self._signals: deque[int] = deque()
        self._exits: deque[Exit] = deque()
        self._arrived: set[int] = set()
        self._faults = 0  # turns that failed one after the other

    def run(self) -> int:
        """Live until stopped; the exit status."""
        for slot in list(self.slots) if self.life.stage is Stage.STARTING else []:
            self._spawn(slot)
        while not self.life.over:
            try:
                self._turn()
                self._faults = 0
            except Exception as error:  # noqa: BLE001 - whatever it is, nobody could take our place
                self._survive(error)
        return self.life.exit_status

    def _turn(self) -> None:
        self._system.wait(self._timeout(), self._signals)
        while self._signals:
            self._on_signal(self._signals[0])
            self._signals.popleft()
        now = self._system.now()
        self._notice_ready(now)  # first: who ends right after coming up has been up
        self._system.reap(self._exits)
        while self._exits:
            self._on_exit(self._exits[0], now)
            self._exits.popleft()
        self._watch(now)
        self._respawn(now)
        self._advance(now)
        self._change(now)
        self.holdings.journal.sink.flush()

    def _survive(self, error: Exception) -> None:
        """Go on after a turn that failed; what it failed on is tried again, a few times."""
        self._faults += 1
        if self._faults > FAULTS_BORNE:
            self._signals.clear()
            self._exits.clear()
        with contextlib.suppress(Exception):
            trace = "".join(traceback.format_tb(error.__traceback__))
            self.log.error("supervisor goes on", error=repr(error), trace=trace[-2_500:])

    # Waiting

    def _timeout(self) -> float:
        if self._faults:
            return FAULT_PAUSE_S
        now = self._system.now()
        due = [self._watched_at + WATCH_S]
        due += [slot.respawn_at for slot in self.slots if slot.respawn_at is not None]
        if self.life.deadline is not None:
            due.append(self.life.deadline)
        if self.life.stage is Stage.DRAINING:
            due.append(now + LOOK_S)
        if self.life.stage is Stage.RUNNING:
            changes = self._upgrade.due(now), self.generations.due(now), self.reload.due(now)
            due += [at for at in changes[: 2 + self._upgrade.idle] if at is not None]
        if self.holdings.journal.sink.waiting:
            due.append(now + FLUSH_S)
        return max(0.0, min(due) - now)

    # Signals

    def _on_signal(self, number: int) -> None:
        if number in signals.STOP:
            self._on_stop(number)
        elif number in signals.QUIT:
            self.log.notice("quitting at once", signal=signal.Signals(number).name)
            self._enter_stopping(0.0)
        elif number in signals.RELOAD:
            self.reload.ask()
        elif number in signals.UPGRADE:
            self._upgrade.ask()
        elif number in signals.REOPEN:
            self._reopen_log()
        elif number in signals.MORE | signals.FEWER:
            self.generations.want(1 if number in signals.MORE else -1)

    def _on_stop(self, number: int) -> None:
        name = signal.Signals(number).name
        if self.life.stage in ENDING:
            self.log.notice("stopping at once: asked again", signal=name)
            self._enter_stopping(0.0)
            return
        workers = self.holdings.config.workers
        self.log.notice(
            "stopping", signal=name, drain_s=workers.drain_seconds, grace_s=self._grace_s
        )
        self.life.deadline = self._system.now() + workers.drain_seconds
        self.life.stage = Stage.DRAINING

    @property
    def _grace_s(self) -> float:
        return max(slot.spec.grace_s for slot in self.slots)

    def _enter_stopping(self, grace_s: float) -> None:
        self.life.deadline = self._system.now() + grace_s
        self.life.stage = Stage.STOPPING

    def _tell(self, now: float) -> None:
        """Have everybody know what stage has begun; told again if that fails."""
        stage = self.life.stage
        if stage in {Stage.STARTING, self.life.told}:
            return
        if stage is Stage.RUNNING:
            self.holdings.keep_sockets()
            self.log.notice("running", **self._summary())
            self.holdings.manager.ready("running")
        else:
            self.holdings.manager.stopping()
            self._upgrade.stop()
            if stage is Stage.DRAINING:
                self.generations.refuse(now)
            else:
                self._tell_to_stop()
        self.life.told = stage

    def _tell_to_stop(self) -> None:
        self.generations.dismiss()
        for slot in self.slots:
            slot.respawn_at = None
            if slot.pid:
                ring(slot)
                if slot.spec.stop_signal is not None:
                    self._system.kill(slot.pid, slot.spec.stop_signal)

    def _reopen_log(self) -> None:
        if failure := self.holdings.journal.sink.reopen():
            self.log.error("log not reopened", reason=failure)
        else:
            self.log.notice("log reopened")

    # Ends and beginnings of children

    def _on_exit(self, exit: Exit, now: float) -> None:
        slot = next((each for each in self.slots if each.pid == exit.pid), None)
        if self.life.stage is Stage.RUNNING:
            if self.reload.is_trial(exit):
                self.reload.trial_ended(exit, now)
            elif self._upgrade.is_trial(exit):
                self._upgrade.trial_ended(exit)
        if slot is None:  # somebody else's child that we inherited
            return
        if slot.ends_by is not None and self.life.stage not in ENDING:
            self._renew(slot, exit)
            return
        self._upgrade.child_ended(slot, exit, now)
        stopping = self.life.stage is Stage.STOPPING or slot.leaving
        stopping |= self.life.stage is Stage.DRAINING and exit.code == ExitCode.OK
        decision = decide(exit, slot, stopping, now)
        self.holdings.tables.slots.release(slot.row)
        lived_s = now - slot.started_at
        note_failure(exit, slot, now)
        if not stopping:
            slot.respawn_at = now  # holds if what follows fails
        slot.pid = 0
        if isinstance(decision, Replace):
            self._replace(slot, decision.after_s, now)
            self.log.warning(
                "process replaced" if slot.pid else "process ended",
                what=slot.title,
                ended=exit,
                lived_s=round(lived_s, 3),
                wait_s=decision.after_s,
            )
        elif isinstance(decision, GiveUp) and self.generations.is_coming(slot):
            self.generations.abandon(decision.reason)
        elif isinstance(decision, GiveUp):
            self.log.error("giving up", reason=decision.reason)
            self.life.exit_status = 1
            self._enter_stopping(slot.spec.grace_s)
        elif isinstance(decision, Expected):
            slot.respawn_at = None
            self.life.clean &= exit.signal is None or self.life.stage not in ENDING
            self._clear_gauges(slot)
            if slot.leaving:
                self.generations.ended(slot)

    def _make_room(self, slot: Slot) -> None:
        """Have a child end and another one of this program begin in its place."""
        ring(slot)
        slot.ends_by = self._system.now() + slot.spec.grace_s

    def _renew(self, slot: Slot, exit: Exit) -> None:
        slot.pid, slot.ends_by = 0, None
        slot.heartbeat_at = slot.respawn_at = self._system.now()
        self.holdings.tables.slots.release(slot.row)
        self._clear_gauges(slot)
        self._spawn(slot)
        self.log.info("process renewed", what=slot.title, ended=exit)

    def _clear_gauges(self, slot: Slot) -> None:
        row = self.holdings.tables.slots.counters(slot.row)
        for gauge in counters.GAUGES:
            row.set(gauge, 0)

    def _replace(self, slot: Slot, after_s: float, now: float) -> None:
        self._clear_gauges(slot)
        self.holdings.tables.slots.counters(0).add(counters.RESTARTS)
        if after_s:
            slot.respawn_at = now + after_s
        else:
            self._spawn(slot)

    def _respawn(self, now: float) -> None:
        if self.life.stage is Stage.STOPPING:
            return
        for slot in self.slots:
            if slot.respawn_at is not None and slot.respawn_at <= now:
                self._spawn(slot)

    def _spawn(self, slot: Slot) -> None:
        now = self._system.now()
        slot.respawn_at = now + FORK_RETRY_S  # holds if what follows fails
        slot.up_at = slot.aborted_at = None
        try:
            if slot.generation:
                self.holdings.tables.places.begin(slot.index)
            self.holdings.open_slot(slot)
            pid = self._system.fork(partial(self._be_child, slot))
        except REFUSED as error:
            self.log.error("cannot fork", what=slot.title, reason=reason_of(error))
            return
        slot.pid, slot.respawn_at = pid, None
        slot.started_at = slot.heartbeat_at = now
        slot.heartbeat = 0
        slot.image = self.holdings.lineage.number

    def _be_child(self, slot: Slot) -> int:
        """Run the child's whole life; its exit status."""
        try:
            signals.die_with_parent(self._pid)
            child = self.holdings.enter_child(slot, self.slots, self.generations.all)
            return run_target(child, slot.spec)
        except REFUSED as error:
            self.log.error("process could not begin", what=slot.title, reason=reason_of(error))
        except BaseException:  # noqa: BLE001 - here ends everything that it has
            traceback.print_exc()
        return ExitCode.CRASHED

    # Watching

    def _notice_ready(self, now: float) -> None:
        self.holdings.newly_up(self._arrived)
        for slot in self.slots:
            if slot.pid in self._arrived:
                slot.up_at = slot.heartbeat_at = now
                slot.ever_up = True
                self.log.debug("process is up", what=slot.title, after_s=now - slot.started_at)
        self._arrived.clear()
        if self.life.stage is Stage.STARTING and all(slot.up_at for slot in self.slots):
            self.life.stage = Stage.RUNNING

    def _summary(self) -> dict[str, object]:
        config = self.holdings.config
        return {
            "udp": ",".join(str(each) for each in config.listen.udp),
            "workers": len(self.generations.serving.slots),
            "registered": self.holdings.tables.location.gauges()[0],
            "capacity": self.holdings.tables.location.capacity,
        }

    def _watch(self, now: float) -> None:
        """Find the children whose heart has stopped."""
        asleep_s = now - self._watched_at
        if asleep_s < WATCH_S:
            return
        self._watched_at = now
        hang_s = self.holdings.config.workers.hang_seconds
        suspended = asleep_s > WATCH_S + hang_s / 2  # we all slept: nobody could beat meanwhile
        for slot in self.slots:
            if not slot.pid:
                continue
            beat = self.holdings.tables.slots.row(slot.row).heartbeat
            if suspended or beat != slot.heartbeat:
                slot.heartbeat, slot.heartbeat_at = beat, now
                slot.found_slow = False
            self._judge(slot, now, hang_s if slot.up_at is not None else BOOT_DEADLINE_S)
        self._feed_watchdog(now)

    def _feed_watchdog(self, now: float) -> None:
        """Tell the service manager that we live, if every process has given a sign of life."""
        if now - self._fed_at < self.holdings.manager.watchdog_s:
            return
        if all(slot.heartbeat_at > self._fed_at or slot.respawn_at for slot in self.slots):
            self._fed_at = now
            self.holdings.manager.alive()

    def _judge(self, slot: Slot, now: float, patience_s: float) -> None:
        if slot.ends_by is not None and now >= slot.ends_by:
            self._system.kill(slot.pid, signal.SIGKILL)
        elif slot.aborted_at is not None:
            if now - slot.aborted_at >= ABORT_GRACE_S:
                self._system.kill(slot.pid, signal.SIGKILL)
        elif now - slot.heartbeat_at > patience_s:
            slot.aborted_at = now
            self.log.error("process hangs", what=slot.title, silent_s=now - slot.heartbeat_at)
            self.holdings.tables.slots.counters(0).add(counters.HANGS)
            self._system.kill(slot.pid, signal.SIGABRT)
        elif slot.spec.reads_sockets and slot.up_at is not None and not slot.found_slow:
            self._trace_if_slow(slot, now - slot.heartbeat_at)

    def _trace_if_slow(self, slot: Slot, silent_s: float) -> None:
        """A worker that has been at one thing for long writes what it is: mostly a policy."""
        if silent_s > self.holdings.config.workers.slow_seconds:
            slot.found_slow = True
            self.log.warning("process is slow", what=slot.title, silent_s=silent_s)
            self.holdings.tables.slots.counters(0).add(counters.SLOW_TURNS)
            self._system.kill(slot.pid, signals.TRACE)

    # New generations, and the way to the end

    def _change(self, now: float) -> None:
        """Workers, reload and upgrade: one change at a time."""
        if self.life.stage is not Stage.RUNNING:
            return
        self.generations.turn(now)
        self._upgrade.turn(now, may_begin=self.reload.idle)
        if self._upgrade.idle:
            self.reload.turn(self.slots, now)
            if not self.reload.is_under_way:
                self.generations.follow()

    def _advance(self, now: float) -> None:
        self._tell(now)
        if self.life.stage is Stage.DRAINING and (
            self.generations.empty or now >= (self.life.deadline or now)
        ):
            self._enter_stopping(self._grace_s)
            self._tell(now)
        if self.life.stage is not Stage.STOPPING:
            return
        living = [slot for slot in self.slots if slot.pid]
        if not living:
            self._finish()
        elif self.life.deadline is not None and now >= self.life.deadline:
            for slot in living:
                self._system.kill(slot.pid, signal.SIGKILL)
            self.life.deadline = None  # the kernel does the rest

    def _finish(self) -> None:
        self.life.stage, self.life.over = Stage.STOPPED, True
        self.holdings.journal.pass_on()
        self.holdings.tables.slots.release(0)
        self.holdings.tables.close(clean=self.life.clean)
        self.log.notice("stopped", clean=self.life.clean)
