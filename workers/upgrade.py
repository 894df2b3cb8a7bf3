"""Upgrading (SIGUSR2): another version of the program takes over, process by process.

It is tried first, in a process of its own that has everything it would be handed. What passes takes
the supervisor's place by exec, goes on with sockets, files and children, and replaces the children
by its own. Until all of them are up, everything can be given back to the program before.
"""

from __future__ import annotations

import enum
import os
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from proxy.errors import SipherdError
from proxy.limits import counters
from workers import handover, priority, program_trial
from workers.adoption import Family, hand_over, image_of
from workers.child import BOOT_DEADLINE_S, FROM_OUTSIDE, Exit, Slot
from workers.handover import Handover, returned
from workers.inheriting import VARIABLE
from workers.program_trial import ProgramTrial, Unfit
from workers.reload import Reload, wanted_workers
from workers.system import REFUSED, reason_of
from workers.version import VERSION

if TYPE_CHECKING:
    from workers.generations import Generations
    from workers.holdings import Holdings
    from workers.program import Program
    from workers.system import System

TRIAL_S: Final = 30.0


class Step(enum.Enum):
    """How far an upgrade has come."""

    IDLE = "idle"
    TRYING = "trying"
    PASSED = "passed"  # its trial: it takes over at the end of the turn
    RENEWING = "renewing"  # the children, by those of this program
    RETURNING = "returning"  # the program before is tried, for this one has failed


class Upgrade:
    """The upgrade that is under way, if any."""

    def __init__(
        self,
        holdings: Holdings,
        system: System,
        generations: Generations,
        slots: list[Slot],
        reload: Reload,
        make_room: Callable[[Slot], None],
    ) -> None:
        self._holdings = holdings
        self._lineage = holdings.lineage
        self._system = system
        self._generations = generations
        self._slots = slots
        self._reload = reload
        self._make_room = make_room
        self._log = holdings.log
        self._asked = False
        self._trial: ProgramTrial | None = None
        self._deadline = 0.0
        self._renewing: Slot | None = None
        self._next: Program | None = None  # what takes over
        self._workers = False  # whether a generation of them has been begun
        self._failure = ""
        self.step = Step.RENEWING if self._stale() or self._lineage.before else Step.IDLE
        if self._lineage.failed:
            self._count(counters.UPGRADES_FAILED)
            self._log.error("upgrade failed", reason=self._lineage.failed, version=VERSION)

    def ask(self) -> None:
        """Begin as soon as may be."""
        self._asked = True

    @property
    def idle(self) -> bool:
        """Whether nothing is under way."""
        return self.step is Step.IDLE

    def due(self, now: float) -> float | None:
        """When to come back at the latest; None: nothing is under way, or somebody will wake us."""
        if self.step is Step.IDLE:
            return now if self._asked and self._generations.idle else None
        if self._trial or self._renewing:
            return self._deadline
        return now if self._generations.idle else None

    def turn(self, now: float, may_begin: bool) -> None:
        """What is due."""
        if self.step is Step.IDLE and self._asked and may_begin and self._generations.idle:
            self._asked = False
            self._try(self._lineage.command, self._state(), Step.TRYING, now)
        elif self._trial is not None and now >= self._deadline:
            self._system.kill(self._trial.pid, signal.SIGKILL)
            self._deadline = now + TRIAL_S
        elif self.step is Step.PASSED and self._next is not None:
            state = self._state()
            self._go(self._next, returned(state, self._failure) if self._failure else state)
        elif self.step is Step.RENEWING:
            self._renew(now)

    def stop(self) -> None:
        """The server ends, and nothing is upgraded any more."""
        if self._trial is not None:
            self._system.kill(self._trial.pid, signal.SIGKILL)
        self.step = Step.IDLE
        self._asked = False

    # Trying

    def _try(self, program: Program, state: Handover, step: Step, now: float) -> None:
        self.step, self._deadline = step, now + TRIAL_S
        try:
            nice = self._holdings.nice
            self._trial = program_trial.begin(program, state, self._system, nice)
        except REFUSED as error:
            self._refuse(f"no process can be forked to try it: {reason_of(error)}")

    def is_trial(self, exit: Exit) -> bool:
        """Whether it is the trial that has ended."""
        return self._trial is not None and exit.pid == self._trial.pid

    def trial_ended(self, exit: Exit) -> None:
        """The trial has come to a verdict, or to a bad end.

        What passes takes over when all that has ended has been seen to: nobody hears of it twice.
        """
        assert self._trial is not None
        trial, self._trial = self._trial, None
        try:
            version = trial.verdict(exit)
        except Unfit as error:
            self._refuse(str(error))
            return
        if self.step is Step.TRYING:
            self._log.notice("upgrading", version=VERSION, to=version)
            self._next, self.step = self._lineage.command, Step.PASSED
        elif self.step is Step.RETURNING:
            self._return(version)

    def _return(self, version: str) -> None:
        before = self._lineage.before
        assert before is not None
        if version != before.command.version:
            self._refuse(f"{before.command.program} is version {version} by now")
            return
        self._next, self.step = before.command.program, Step.PASSED

    def _go(self, program: Program, state: Handover) -> None:
        """Become another program; what follows here runs only where that cannot be."""
        fd = handover.write(state)
        environment = {VARIABLE: str(fd), **self._holdings.manager.environment}
        priority.go_along(self._holdings.nice)  # to load a program is not urgent
        try:
            program.take_over(environment, [fd, *state.descriptors()])
        except OSError as error:
            os.close(fd)
            priority.go_first()
            self._refuse(f"{program} cannot be run: {error.strerror}")

    def _state(self) -> Handover:
        before = self._lineage.before or image_of(self._holdings)
        family = Family(self._slots, [*self._generations.leaving, self._generations.serving])
        return hand_over(self._holdings, family, before, self._reload.asked)

    def _refuse(self, reason: str) -> None:
        """Stay what we are."""
        if self._failure:
            self._log.error("upgrade not undone", reason=reason)
            self._end()
            return
        self.step = Step.IDLE
        self._count(counters.UPGRADES_REFUSED)
        self._log.error("upgrade refused", reason=reason, version=VERSION)

    # Renewing

    def _stale(self) -> list[Slot]:
        """The children of another program; workers that leave are as good as gone."""
        return [
            slot
            for slot in self._slots
            if slot.image != self._lineage.number and slot.pid and not slot.leaving
        ]

    def _renew(self, now: float) -> None:
        coming = self._renewing
        if coming is not None:
            if coming.image != self._lineage.number or coming.up_at is None:
                if now >= self._deadline:
                    self._fail(f"{coming.title} did not come up", now)
                return
            self._renewing = None
        stale = self._stale()
        if any(slot.generation for slot in stale):
            self._renew_workers(now)
        elif stale:
            self._workers, self._renewing = False, stale[0]
            self._deadline = now + stale[0].spec.grace_s + 2 * BOOT_DEADLINE_S
            self._make_room(stale[0])
        else:
            self._end()

    def _renew_workers(self, now: float) -> None:
        """A generation of this program's, and of as many as its configuration wants."""
        generations, config = self._generations, self._holdings.config
        if generations.coming is not None:
            return
        if self._workers:
            self._fail(f"new workers: {generations.outcome}", now)
            return
        if not generations.idle:
            return  # old ones are being hurried
        self._workers = True
        try:
            count = wanted_workers(config, len(generations.serving.slots))
            generations.renew("upgrade", count, config.listen.udp)
        except SipherdError as error:
            self._fail(f"new workers: {error}", now)

    def child_ended(self, slot: Slot, exit: Exit, now: float) -> None:
        """A child has ended; one of this program that cannot even begin is the end of it."""
        fresh = slot.image == self._lineage.number and slot.up_at is None
        from_outside = exit.signal in FROM_OUTSIDE and slot.aborted_at is None
        if self.step is Step.RENEWING and slot is self._renewing and fresh and not from_outside:
            self._fail(f"{slot.title} could not start: {exit}", now)

    def _fail(self, reason: str, now: float) -> None:
        self._renewing, self._workers = None, False
        before = self._lineage.before
        if before is None:  # it had been here before, and is all that there is
            self._log.error("upgrade not undone", reason=reason)
            self._end()
            return
        self._failure = f"version {VERSION}: {reason}"
        self._log.error("upgrade undone", reason=reason, version=VERSION)
        state = returned(self._state(), self._failure)
        self._try(before.command.program, state, Step.RETURNING, now)

    def _end(self) -> None:
        """All that could be done has been done."""
        lineage, self._renewing, self._workers = self._lineage, None, False
        self.step = Step.IDLE
        if lineage.before is None:
            return
        os.close(lineage.before.area)
        if not self._stale() and not self._failure:
            self._count(counters.UPGRADES)
            self._log.notice("upgraded", version=VERSION, before=lineage.before.command.version)
        lineage.before = None
        self._holdings.manager.ready(f"running, version {VERSION}")

    def _count(self, column: int) -> None:
        self._holdings.tables.slots.counters(0).add(column)
