"""Generations of workers: one takes the place of the other, and nothing is lost on the way.

Whatever changes what a worker is made of - their number, the addresses, the program - is done by
new workers. They make themselves ready beside the old ones; when all are, the old ones publish the
calls that they keep and stop reading, and the new ones read on, from the same sockets. What comes
for a call that an old worker keeps is handed to it, until it has none left and ends.
"""

from __future__ import annotations

import enum
import os
import signal
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from proxy.errors import SipherdError
from proxy.shm.places import PLACES, Order, Phase
from workers.child import BOOT_DEADLINE_S, ChildSpec, Slot
from workers.setting_types import Endpoint
from workers.shared_page import FIRST_WORKER_ROW

if TYPE_CHECKING:
    from workers.holdings import Holdings
    from workers.system import System

MOST_WORKERS: Final = 64  # of one generation, as [workers] udp allows
MOST_LEAVING: Final = 8  # generations; each may take minutes to end
SWITCH_S: Final = 1.0  # for the old ones to publish their calls: then it is done without
CLOSE_S: Final = 2.0  # for everybody to notice that a generation is to be sent nothing any more
AFTER_RINGING_S: Final = 60.0  # beyond timer C: what an answered or a cancelled call still takes
LOOK_S: Final = 0.002
LOOK_LEAVING_S: Final = 0.1
FOREVER: Final = float("inf")


class Step(enum.Enum):
    """What becomes of a generation."""

    PREPARING = "preparing"  # its workers come up, beside those that serve
    READY = "ready"
    TAKING_OVER = "taking over"  # those that serve are handing over to it
    SERVING = "serving"
    DRAINING = "draining"  # it has handed over, and has calls under way
    CLOSING = "closing"  # it is being forgotten by everybody else
    LEAVING = "leaving"  # its processes end


@dataclass(slots=True)
class Generation:
    """Workers that began together; `endpoints` in the order of their listener numbers."""

    number: int
    endpoints: tuple[Endpoint, ...]
    slots: list[Slot]
    step: Step
    deadline: float = FOREVER
    version: int = 0  # that has to have been seen before the next step

    @property
    def living(self) -> list[Slot]:
        """The slots in which there is a process."""
        return [slot for slot in self.slots if slot.pid]


class Generations:
    """The generation that serves, those that go, and the one that comes, if any.

    `slots` is the supervisor's list of all children; workers come into it and leave it here.
    """

    def __init__(
        self,
        holdings: Holdings,
        system: System,
        slots: list[Slot],
        spawn: Callable[[Slot], None],
        known: list[Generation] | None = None,
    ) -> None:
        self._holdings = holdings
        self._places = holdings.tables.places
        self._log = holdings.log
        self._system = system
        self._slots = slots
        self._spawn = spawn
        workers = [slot for slot in slots if slot.generation]
        first = Generation(1, holdings.config.listen.udp, workers, Step.SERVING)
        *self.leaving, self.serving = known or [first]
        self.coming: Generation | None = None
        self.numbers = max(each.number for each in [*self.leaving, self.serving])
        self.wanted = len(self.serving.slots)
        self._holds = False
        self.outcome = ""  # of the last that came: "serving", or why it did not

    # -- what others ask ---------------------------------------------------------------------------

    @property
    def all(self) -> list[Generation]:
        """Every generation that has processes, or will have."""
        return [*self.leaving, self.serving, *([self.coming] if self.coming else [])]

    @property
    def idle(self) -> bool:
        """Whether a new generation may begin."""
        room = PLACES - sum(len(each.slots) for each in self.all) >= MOST_WORKERS
        return self.coming is None and room and len(self.leaving) < MOST_LEAVING

    @property
    def ready(self) -> bool:
        """Whether the one that comes waits for switch()."""
        return self.coming is not None and self.coming.step is Step.READY

    def is_coming(self, slot: Slot) -> bool:
        """Whether it belongs to a generation that can still be abandoned."""
        coming = self.coming
        return coming is not None and slot in coming.slots and coming.step is not Step.TAKING_OVER

    @property
    def empty(self) -> bool:
        """Whether no worker has anything under way any more, and all know that they are to end."""
        places = self._places
        return all(
            places.phase(slot.index) is Phase.EMPTY
            and places.seen(slot.index) >= self.serving.version
            for each in self.all
            for slot in each.living
        )

    def due(self, now: float) -> float | None:
        """When to come back at the latest; None: nothing is under way."""
        if self.coming is not None:
            return now + LOOK_S
        return now + LOOK_LEAVING_S if self.leaving else None

    # -- a new one ---------------------------------------------------------------------------------

    def renew(
        self,
        why: str,
        count: int | None = None,
        endpoints: tuple[Endpoint, ...] | None = None,
        hold: bool = False,
    ) -> None:
        """Begin a new generation; with `hold` it waits, when it is ready, for switch().

        Raises SipherdError, and has changed nothing, when it cannot have what it needs.
        """
        serving, now = self.serving, self._system.now()
        endpoints, number = endpoints or serving.endpoints, self.numbers + 1
        places = self._free_places(count or len(serving.slots))
        try:
            self._holdings.make_room(endpoints, places)
        except SipherdError:
            self._holdings.give_back(self._endpoints())
            raise
        spec = serving.slots[0].spec
        slots = [worker_slot(spec, place, number, index) for index, place in enumerate(places)]
        coming = Generation(number, endpoints, slots, Step.PREPARING, now + BOOT_DEADLINE_S)
        for slot in slots:
            slot.respawn_at = now  # if it cannot be forked below
            self._places.enter(slot.index, number, Order.PREPARE)
        self._slots += slots
        self.coming, self.numbers, self.outcome, self._holds = coming, number, "", hold
        self._log.notice("workers starting", generation=number, workers=len(slots), why=why)
        for slot in slots:
            self._spawn(slot)

    def _free_places(self, count: int) -> list[int]:
        taken = {slot.index for each in self.all for slot in each.slots}
        return [place for place in range(PLACES) if place not in taken][:count]

    def _endpoints(self) -> set[Endpoint]:
        return {endpoint for each in self.all for endpoint in each.endpoints}

    def abandon(self, reason: str) -> None:
        """The one that comes does not; what serves goes on."""
        coming = self.coming
        assert coming is not None
        self.leaving.append(coming)
        self.coming, self.outcome, self.wanted = None, reason, len(self.serving.slots)
        coming.endpoints = ()
        self._log.error("workers abandoned", generation=coming.number, reason=reason)
        self._dismiss(coming, self._system.now())
        self._holdings.give_back(self._endpoints())

    # -- the hand-over -----------------------------------------------------------------------------

    def switch(self, now: float) -> None:
        """Let those that serve hand over to those that are ready."""
        old, coming = self.serving, self.coming
        assert coming is not None
        kept = set(coming.endpoints)
        for slot in old.slots:
            left = [number for number, one in enumerate(old.endpoints) if one not in kept]
            slot.leaving, slot.respawn_at = True, None
            self._places.leave_listeners(slot.index, sum(1 << number for number in left))
            self._places.order(slot.index, Order.HAND_OVER)
        for each in self.leaving:
            again = [number for number, one in enumerate(each.endpoints) if one in kept]
            for slot in each.slots:
                listeners = self._places.listeners(slot.index)
                for number in again:
                    listeners &= ~(1 << number)
                self._places.leave_listeners(slot.index, listeners)
        coming.version = self._announce()
        coming.step, coming.deadline = Step.TAKING_OVER, now + SWITCH_S

    def _complete(self, now: float, order: Order = Order.SERVE) -> None:
        """The old ones read no more: the new ones do."""
        old, new = self.serving, self.coming
        assert new is not None
        self._holdings.bind_sockets()
        self._holdings.tables.shards.spread([slot.index for slot in new.slots])
        for slot in new.slots:
            self._places.order(slot.index, order)
        for slot in old.slots:
            if not slot.pid:
                self._places.order(slot.index, Order.GONE)
        self._announce()
        self._holdings.keep_sockets()
        ringing_s = self._holdings.config.limits.timer_c_seconds
        deadline = now + ringing_s + AFTER_RINGING_S
        self.leaving.append(old)
        old.step, old.deadline = Step.DRAINING, deadline
        new.step, new.deadline = Step.SERVING, FOREVER
        self.serving, self.coming = new, None
        self.wanted, self.outcome = len(new.slots), "serving"
        self._log.notice("workers serve", generation=new.number, workers=len(new.slots))

    # -- time passes -------------------------------------------------------------------------------

    def turn(self, now: float) -> None:
        """What is due."""
        coming = self.coming
        if coming is not None:
            self._bring(coming, now)
        elif not self.idle:
            self.leaving[0].deadline = min(self.leaving[0].deadline, now)
        for each in list(self.leaving):
            self._see_off(each, now)

    def follow(self) -> None:
        """Have as many workers as are wanted."""
        if self.wanted == len(self.serving.slots) or not self.idle:
            return
        try:
            self.renew(f"{self.wanted} are wanted", self.wanted)
        except SipherdError as error:
            self.wanted = len(self.serving.slots)
            self._log.error("workers abandoned", generation=self.numbers + 1, reason=error)

    def want(self, more: int) -> None:
        """One more, or one less."""
        self.wanted = max(1, min(self.wanted + more, MOST_WORKERS))

    def _bring(self, coming: Generation, now: float) -> None:
        places = self._places
        if coming.step is Step.PREPARING:
            if all(slot.pid and places.phase(slot.index) for slot in coming.slots):
                coming.step = Step.READY
            elif now >= coming.deadline:
                self.abandon(f"they were not ready within {BOOT_DEADLINE_S:.0f} s")
        if coming.step is Step.READY and not self._holds:
            self.switch(now)
        elif coming.step is Step.TAKING_OVER:
            going = [slot for each in (*self.leaving, self.serving) for slot in each.living]
            if self._seen(going, coming.version) or now >= coming.deadline:
                self._complete(now)

    def _see_off(self, going: Generation, now: float) -> None:
        if not going.living:
            self._finish(going)
        elif going.step is Step.DRAINING:
            phases = {self._places.phase(slot.index) for slot in going.living}
            if phases == {Phase.EMPTY} or now >= going.deadline:
                self._close(going, now)
        elif going.step is Step.CLOSING:
            others = [
                slot for each in self.all if each.step is not Step.LEAVING for slot in each.living
            ]
            if self._seen(others, going.version) or now >= going.deadline:
                self._dismiss(going, now)
        elif going.step is not Step.LEAVING:  # abandoned, and could not be told
            self._dismiss(going, now)
        elif now >= going.deadline:
            for slot in going.living:
                self._system.kill(slot.pid, signal.SIGKILL)
            going.deadline = FOREVER

    def _close(self, going: Generation, now: float) -> None:
        live = sum(self._places.live(slot.index) for slot in going.living)
        for slot in going.living:
            self._places.order(slot.index, Order.CLOSE)
        going.version = self._announce()
        going.step, going.deadline = Step.CLOSING, now + CLOSE_S
        if live:
            self._log.warning("calls left to their branches", generation=going.number, calls=live)

    def _dismiss(self, going: Generation, now: float) -> None:
        for slot in going.slots:
            slot.leaving, slot.respawn_at = True, None
            self._places.order(slot.index, Order.LEAVE if slot.pid else Order.GONE)
        self._announce()
        going.step, going.deadline = Step.LEAVING, now + going.slots[0].spec.grace_s

    def _finish(self, gone: Generation) -> None:
        """Forget it, or begin with that again in the next turn."""
        gone.endpoints = ()
        for slot in gone.slots:
            self._places.order(slot.index, Order.GONE)
            if slot in self._slots:
                self._slots.remove(slot)
            fd, slot.stop_fd = slot.stop_fd, -1
            if fd >= 0:
                os.close(fd)
        self._announce()
        self._holdings.give_back(self._endpoints())
        self.leaving.remove(gone)
        self._log.notice("workers gone", generation=gone.number)

    def ended(self, slot: Slot) -> None:
        """A process that was meant to end has ended: nobody is to send it anything."""
        self._places.order(slot.index, Order.GONE)
        self._announce()

    # -- the end -----------------------------------------------------------------------------------

    def refuse(self, now: float) -> None:
        """The server stops: nobody takes on anything new."""
        if self.coming is not None and self.coming.step is Step.TAKING_OVER:
            self._complete(now, Order.REFUSE)
        elif self.coming is not None:
            self.abandon("the server stops")
        self._places.stop()
        for slot in self.serving.slots:
            self._places.order(slot.index, Order.REFUSE)
        self.serving.version = self._announce()

    def dismiss(self) -> None:
        """The server stops: all workers end."""
        for each in self.all:
            for slot in each.slots:
                self._places.order(slot.index, Order.LEAVE)
        self._announce()

    def _announce(self) -> int:
        version = self._places.announce()
        for each in self.all:
            for slot in each.living:
                ring(slot)
        return version

    def _seen(self, slots: Iterable[Slot], version: int) -> bool:
        return all(self._places.seen(slot.index) >= version for slot in slots)


def worker_slot(spec: ChildSpec, place: int, generation: int, number: int) -> Slot:
    """The slot of worker `number` of a generation, in its place."""
    return Slot(spec, place, FIRST_WORKER_ROW + place, generation=generation, number=number)


def ring(slot: Slot) -> None:
    """Let a worker look at its orders."""
    if slot.stop_fd >= 0:
        with suppress(BlockingIOError):
            os.eventfd_write(slot.stop_fd, 1)


def first_slots(specs: list[ChildSpec]) -> list[Slot]:
    """A slot for each child; row 0 of the process table is the supervisor's own."""
    others = [spec for spec in specs if not spec.reads_sockets]
    return [Slot(spec, 0, row) for row, spec in enumerate(others, 1)] + [
        worker_slot(spec, place, 1, place)
        for spec in specs
        if spec.reads_sockets
        for place in range(spec.count)
    ]
