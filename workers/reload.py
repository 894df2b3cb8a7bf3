"""Reloading (SIGHUP): a new edition is tried, offered to every process, and taken by all or none.

The supervisor asks `due` when to come back, and gives a turn. A signal that comes while a reload is
under way is remembered, and the files are read once more.
"""

from __future__ import annotations

import enum
import os
import pickle
import signal
from functools import partial
from typing import TYPE_CHECKING, Final

from proxy.errors import SipherdError
from proxy.limits import counters
from workers.child import Exit, Slot
from workers.edition import Edition
from workers.live_settings import changes
from workers.system import REFUSED, reason_of
from workers.trial import DEADLINE_S, GENTLE_S, NO_MEMORY, Refusal, run_trial

if TYPE_CHECKING:
    from workers.generations import Generations
    from workers.holdings import Holdings
    from workers.settings import Config
    from workers.system import System

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

    def __init__(self, holdings: Holdings, system: System, generations: Generations) -> None:
        self._holdings = holdings
        self._system = system
        self._generations = generations
        self._log = holdings.log
        self._pid = os.getpid()
        self._asked = False
        self._step = Step.IDLE
        self._trial = 0
        self._gently = False  # it has nothing but what others leave
        self._deadline = 0.0
        self._edition: Edition | None = None
        self._renews = False  # with new workers

    @property
    def is_under_way(self) -> bool:
        """Whether there is an edition on trial, or offered."""
        return self._step is not Step.IDLE

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
        return now if self._asked and self._generations.idle else None

    def turn(self, slots: list[Slot], now: float) -> None:
        """What is due."""
        if self._step is Step.IDLE and self._asked and self._generations.idle:
            self._begin(now)
        elif self._step is Step.TRYING and now >= self._deadline:
            self._press(now)
        elif self._step is Step.OFFERING:
            self._look(slots, now)

    def _begin(self, now: float) -> None:
        self._asked = False
        try:
            held = self._holdings
            trial = partial(run_trial, held.area, held.config, self._pid, held.nice)
            self._trial = self._system.fork(trial)
        except REFUSED as error:
            self._refuse([f"no process can be forked to try it: {reason_of(error)}"])
            return
        self._step, self._deadline, self._gently = Step.TRYING, now + GENTLE_S, True
        self._holdings.manager.reloading()

    def _press(self, now: float) -> None:
        """The trial is late: it gets its share of a busy machine, and after that no more time."""
        if self._gently:
            self._gently = False
            self._system.hurry(self._trial)
            self._deadline = now + DEADLINE_S - GENTLE_S
        else:
            self._system.kill(self._trial, signal.SIGKILL)
            self._deadline = now + DEADLINE_S

    def is_trial(self, exit: Exit) -> bool:
        """Whether it is the trial that has ended."""
        return self._step is Step.TRYING and exit.pid == self._trial

    def trial_ended(self, exit: Exit, now: float) -> None:
        """The trial has come to a verdict, or to a bad end."""
        if exit.code == NO_MEMORY:
            self._refuse(["there is not enough memory to try it"])
            return
        if exit.code != 0:
            self._refuse([f"trying it ended by {exit}"])
            return
        try:
            verdict = pickle.loads(self._holdings.area.text())
        except MemoryError:
            self._refuse(["there is no memory for it"])
            return
        if isinstance(verdict, Refusal):
            self._refuse(verdict.mistakes)
            return
        self._edition = verdict
        try:
            self._renews = self._renew(verdict.config)
        except SipherdError as error:
            self._refuse([str(error)])
            return
        self._holdings.area.offer()
        self._step, self._deadline = Step.OFFERING, now + PATIENCE_S
        self._holdings.wake_workers()

    def _renew(self, config: Config) -> bool:
        """Begin a generation of workers if these are to be others than they are."""
        serving = self._generations.serving
        count = wanted_workers(config, len(serving.slots))
        if (config.listen.udp, count) == (serving.endpoints, len(serving.slots)):
            self._generations.wanted = count
            return False
        self._generations.renew("reload", count, config.listen.udp, hold=True)
        return True

    def _look(self, slots: list[Slot], now: float) -> None:
        area = self._holdings.area
        rows = [slot.row for slot in slots if slot.pid]
        if self._renews and self._generations.coming is None:
            self._withdraw([f"new workers: {self._generations.outcome}"])
        elif refused := area.refused_by(rows):
            names = ", ".join(slot.title for slot in slots if slot.row in refused)
            self._withdraw([f"{names} cannot take it over: see the line of that process"])
        elif not (waited_for := area.waited_for(rows)) and (
            not self._renews or self._generations.ready
        ):
            self._take(now)
        elif now >= self._deadline:
            late = [slot.title for slot in slots if slot.row in waited_for]
            names = ", ".join(late) or "the new workers"
            self._withdraw([f"{names} did not answer within {PATIENCE_S:.0f} s"])

    def _withdraw(self, mistakes: list[str]) -> None:
        self._holdings.area.settle(holds=False)
        self._refuse(mistakes)
        if self._renews and self._generations.coming is not None:
            self._generations.abandon("the reload was refused")

    def _take(self, now: float) -> None:
        assert self._edition is not None
        old = self._holdings.config
        self._holdings.take_over(self._edition)
        self._holdings.area.settle(holds=True)
        self._holdings.wake_workers()
        if self._renews:
            self._generations.switch(now)
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


def wanted_workers(config: Config, present: int) -> int:
    """How many workers there are to be: as many as there are, unless the file says it."""
    return config.workers.udp if "udp" in config.workers.model_fields_set else present
