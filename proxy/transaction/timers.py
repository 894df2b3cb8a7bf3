"""Timers of one worker: a queue for each duration, so that starting and firing are O(1).

All timers of the same duration fire in the order they were started, so each duration has a FIFO
and the earliest deadline is among the few queue heads. Nothing is ever cancelled: see rule 3 of
states.py.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class TimerConfig:
    """The base values of RFC 3261 table 4, in seconds."""

    t1: float = 0.5
    t2: float = 4.0
    t4: float = 5.0
    timer_c: float = 181.0  # §16.6 step 11: more than 3 minutes


class Timed(Protocol):
    """Something that can be told that one of its timers fired."""

    def fire(self, timer: int, now: float) -> None:
        """Timer number `timer` is due."""


class Timers:
    """Deadlines, all on one monotonic clock that the caller reads."""

    def __init__(self) -> None:
        self._queues: dict[float, deque[tuple[float, Timed, int]]] = {}

    def start(self, now: float, duration: float, owner: Timed, timer: int) -> None:
        """Call `owner.fire(timer, …)` once `duration` seconds have passed."""
        queue = self._queues.get(duration)
        if queue is None:
            queue = self._queues[duration] = deque()
        queue.append((now + duration, owner, timer))

    def next_deadline(self) -> float | None:
        """The earliest deadline, or None."""
        earliest = None
        for queue in self._queues.values():
            if queue and (earliest is None or queue[0][0] < earliest):
                earliest = queue[0][0]
        return earliest

    def fire_due(self, now: float) -> int:
        """Fire everything due; returns how many."""
        fired = 0
        for queue in list(self._queues.values()):
            while queue and queue[0][0] <= now:
                _, owner, timer = queue.popleft()
                owner.fire(timer, now)
                fired += 1
        return fired

    def __len__(self) -> int:
        return sum(len(queue) for queue in self._queues.values())
