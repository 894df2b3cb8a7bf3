"""Timers of one worker: a queue for each duration, so that starting and firing are O(1).

All timers of the same duration fire in the order they were started, so each duration has a FIFO
and the earliest deadline is among the few queue heads. Nothing is ever cancelled: see rule 3 of
states.py.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

NEVER = float("inf")


@dataclass(frozen=True, slots=True)
class TimerConfig:
    """The base values of RFC 3261 table 4, in seconds."""

    t1: float = 0.5
    t2: float = 4.0
    t4: float = 5.0
    timer_c: float = 181.0  # §16.6 step 11: more than 3 minutes


class Timed:
    """Something that can be told that one of its timers fired."""

    def fire(self, timer: int, now: float) -> None:
        """Timer number `timer` is due."""


class Queue:
    """The timers of one duration, in the order they were started.

    A worker's turn starts many at the same moment: they share one deadline, and one entry.
    """

    def __init__(self) -> None:
        # (deadline, [owner, timer, owner, timer, ...])
        self.entries: deque[tuple[float, list[Any]]] = deque()
        self.deadline = NEVER  # of the entry that may still grow
        self.latest: list[Any] = []
        self.fired = 0  # places of the first entry that are done with

    def start(self, deadline: float, owner: Timed, timer: int) -> None:
        """Fire at `deadline`."""
        if deadline != self.deadline:
            self.deadline = deadline
            self.latest = []
            self.entries.append((deadline, self.latest))
        self.latest.append(owner)
        self.latest.append(timer)

    def next_deadline(self) -> float:
        """Of the timer to fire first; NEVER when there is none."""
        return self.entries[0][0] if self.entries else NEVER

    def fire_due(self, now: float) -> int:
        """Fire what is due. An exception costs the timer that raised it and no more."""
        fired = 0
        while self.next_deadline() <= now:
            waiting = self.entries[0][1]
            while self.fired < len(waiting):
                at = self.fired
                self.fired = at + 2
                owner = waiting[at]
                owner.fire(waiting[at + 1], now)
                fired += 1
            self.entries.popleft()
            self.fired = 0
            if not self.entries:
                self.deadline = NEVER
                self.latest = []  # nobody is held on to who has nothing more to wait for
        return fired

    def __len__(self) -> int:
        return (sum(len(waiting) for _, waiting in self.entries) - self.fired) // 2


class Timers:
    """Deadlines, all on one monotonic clock that the caller reads."""

    def __init__(self) -> None:
        self._queues: dict[float, Queue] = {}
        self._all: list[Queue] = []

    def start(self, now: float, duration: float, owner: Timed, timer: int) -> None:
        """Call `owner.fire(timer, …)` once `duration` seconds have passed."""
        self.queue(duration).start(now + duration, owner, timer)

    def queue(self, duration: float) -> Queue:
        """Where the timers of this duration wait."""
        queue = self._queues.get(duration)
        if queue is None:
            queue = self._queues[duration] = Queue()
            self._all.append(queue)
        return queue

    def next_deadline(self) -> float | None:
        """The earliest deadline, or None."""
        earliest = NEVER
        for queue in self._all:
            earliest = min(earliest, queue.next_deadline())
        return None if earliest == NEVER else earliest

    def fire_due(self, now: float) -> int:
        """Fire everything due; returns how many."""
        fired = 0
        for queue in self._all:  # which may grow meanwhile
            fired += queue.fire_due(now)
        return fired

    def __len__(self) -> int:
        return sum(len(queue) for queue in self._all)
