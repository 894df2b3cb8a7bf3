"""Reloading (SIGHUP): a new edition is tried, offered to every process, and taken by all or none.

The supervisor asks `due` when to come back, and gives a turn. A signal that comes while a reload is
under way is remembered, and the files are read once more.
"""

from __future__ import annotations

import enum
import os
import pickle
import signal
from typing import TYPE_CHECKING, Final

from proxy.limits import counters
from workers.child import Exit, Slot
from workers.edition import Edition
from workers.live_settings import changes
from workers.trial import DEADLINE_S, Refusal, run_trial

if TYPE_CHECKING:
    from workers.holdings import Holdings
    from workers.supervisor import System

PATIENCE_S: Final = 10.0  # for every process to make itself ready
LOOK_S: Final = 0.02
MISTAKES_TOLD: Final = 10


class Step(enum.Enum):
    """How far a reload has come."""

    IDLE = "idle"
    TRYING = "trying"
    OFFERING = "offering"


class Reload:
    """The reload that is under way, if any."""

    def __init__(self, holdings: Holdings, system: System) -> None:
        self._holdings = holdings
        self._system = system
        self._log = holdings.log
        self._pid = os.getpid()
        self._asked = False
        self._step = Step.IDLE
        self._trial = 0
        self._deadline = 0.0
        self._edition: Edition | None = None

    def ask(self) -> None:
        """Read the files anew, as soon as may be."""
        self._asked = True

    @property
    def idle(self) -> bool:
        """Whether nothing is under way, or asked for."""
        return self._step is Step.IDLE and not self._asked

    @property
    def asked(self) -> bool:
        """Whether the files are to be read, and have not been."""
        return self._asked

    def due(self, now: float) -> float | None:
        """When to come back at the latest; None: nothing is under way."""
        if self._step is Step.OFFERING:
            return now + LOOK_S
        if self._step is Step.TRYING:
            return self._deadline
        return now if self._asked else None

    def turn(self, slots: list[Slot], now: float) -> None:
        """What is due."""
        if self._step is Step.IDLE and self._asked:
            self._begin(now)
        elif self._step is Step.TRYING and now >= self._deadline:
            self._system.kill(self._trial, signal.SIGKILL)
            self._deadline = now + DEADLINE_S
        elif self._step is Step.OFFERING:
            self._look(slots, now)

    def _begin(self, now: float) -> None:
        self._asked = False
        try:
            pid = self._system.fork()
        except OSError as error:
            self._refuse([f"no process can be forked to try it: {error.strerror}"])
            return
        if pid == 0:
            run_trial(self._holdings.area, self._holdings.config, self._pid)  # does not return
        self._holdings.manager.reloading()
        self._trial, self._step, self._deadline = pid, Step.TRYING, now + DEADLINE_S

    def is_trial(self, exit: Exit) -> bool:
        """Whether it is the trial that has ended."""
        return self._step is Step.TRYING and exit.pid == self._trial

    def trial_ended(self, exit: Exit, now: float) -> None:
        """The trial has come to a verdict, or to a bad end."""
        if exit.code != 0:
            self._refuse([f"trying it ended by {exit}"])
            return
        verdict = pickle.loads(self._holdings.area.text())
        if isinstance(verdict, Refusal):
            self._refuse(verdict.mistakes)
            return
        self._edition = verdict
        self._holdings.area.offer()
        self._step, self._deadline = Step.OFFERING, now + PATIENCE_S
        self._holdings.wake_workers()

    def _look(self, slots: list[Slot], now: float) -> None:
        area = self._holdings.area
        rows = [slot.row for slot in slots if slot.pid]
        if refused := area.refused_by(rows):
            area.settle(holds=False)
            names = ", ".join(slot.title for slot in slots if slot.row in refused)
            self._refuse([f"{names} cannot take it over: see the line of that process"])
        elif not (waited_for := area.waited_for(rows)):
            self._take()
        elif now >= self._deadline:
            area.settle(holds=False)
            names = ", ".join(slot.title for slot in slots if slot.row in waited_for)
            self._refuse([f"{names} did not answer within {PATIENCE_S:.0f} s"])

    def _take(self) -> None:
        assert self._edition is not None
        old = self._holdings.config
        self._holdings.take_over(self._edition)
        self._holdings.area.settle(holds=True)
        self._holdings.wake_workers()
        self._step = Step.IDLE
        self._holdings.manager.ready(f"running, edition {self._holdings.area.holds}")
        changed = [f"{section}.{name}" for section, name in changes(old, self._edition.config)]
        self._count(counters.RELOADS)
        self._log.notice(
            "reloaded", edition=self._holdings.area.holds, changed=",".join(changed) or "nothing"
        )

    def _refuse(self, mistakes: list[str]) -> None:
        self._step = Step.IDLE
        self._holdings.manager.ready("running, a reload was refused")
        self._count(counters.RELOADS_REFUSED)
        for mistake in mistakes[:MISTAKES_TOLD]:
            self._log.error("reload refused", reason=mistake, edition=self._holdings.area.holds)

    def _count(self, column: int) -> None:
        self._holdings.tables.slots.counters(0).add(column)
