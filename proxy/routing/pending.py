"""What a policy waits for: asked of somebody else, finished once, at the latest by its deadline.

A worker never waits; a policy does, by `await`. Whoever was asked calls `finish`, which resumes
the policy at that moment. What nobody finishes in time finishes as LATE.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Protocol

from proxy.limits.bounds import PENDING_SECONDS, PENDINGS
from proxy.limits.counters import PENDINGS_LATE, PENDINGS_REFUSED
from proxy.shm.slots import Counters
from proxy.transaction.timers import Timed, Timers


class Late:
    """The result of a question that was not answered in time, or could not even be asked."""

    def __bool__(self) -> bool:
        return False


LATE = Late()
QUICK_SECONDS = 10.0  # below, deadlines are kept to a tenth of a second


class Waiter(Protocol):
    """Who awaits a Pending."""

    def resume(self, pending: Pending) -> None:
        """What was awaited is there."""


class Pending(Timed):
    """One thing awaited; `under_way` says that somebody has promised to finish it."""

    def __init__(self) -> None:
        self.promise()

    def promise(self) -> None:
        """What there is at first: `__init__` of a subclass calls this, `super()` is slow."""
        self.under_way = False
        self.done = False
        self.result: Any = None
        self.waiter: Waiter | None = None
        self.queue: Pendings | None = None

    def __await__(self) -> Generator[Pending, None, Any]:
        if not self.done:
            yield self
        return self.outcome()

    def outcome(self) -> Any:
        """What `await` gives."""
        return self.result

    def finish(self, result: Any) -> None:
        """Give the result, once; later ones are ignored."""
        if self.done:
            return
        self.done = True
        self.under_way = False
        self.result = result
        queue = self.queue
        self.queue = None
        if queue is not None:
            queue.left()
        waiter = self.waiter
        self.waiter = None
        if waiter is not None:
            waiter.resume(self)

    def fire(self, timer: int, now: float) -> None:
        """The deadline has come."""
        if not self.done:
            queue = self.queue
            if queue is not None:
                queue.too_late()
            self.finish(LATE)


class Pendings:
    """The questions of one worker that are not answered yet: bounded in number and in time."""

    def __init__(self, timers: Timers, counters: Counters) -> None:
        self.timers = timers
        self.counters = counters
        self.open = 0

    def begin(self, pending: Pending, seconds: float, now: float) -> bool:
        """Take on a question for at most `seconds`; False, and it is LATE, when there are too many.

        Timers keep a queue for each duration, so there are not many to choose from.
        """
        if self.open >= PENDINGS:
            self.counters.add(PENDINGS_REFUSED, 1)
            pending.finish(LATE)
            return False
        self.open += 1
        pending.under_way = True
        pending.queue = self
        self.timers.start(now, rounded(seconds), pending, 0)
        return True

    def left(self) -> None:
        """One has been finished."""
        self.open -= 1

    def too_late(self) -> None:
        """One was not finished in time."""
        self.counters.add(PENDINGS_LATE, 1)


def rounded(seconds: float) -> float:
    """A duration as timers like it: tenths up to QUICK_SECONDS, then whole seconds."""
    if seconds >= PENDING_SECONDS:
        return float(PENDING_SECONDS)
    if seconds < QUICK_SECONDS:
        return max(1, round(seconds * 10)) / 10
    return float(round(seconds))
