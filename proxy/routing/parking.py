"""REGISTERs that are committed here and wait for their database: the 200 is sent when it has them.

Nothing waits but these answers. They leave in the order in which they came, all up to the place in
the change ring that the storage process has made durable; what takes too long is answered 503.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

from proxy.constants import reason_phrase
from proxy.limits.counters import STORAGE_PARKED, STORAGE_PARKED_LATE, STORAGE_PARKED_REFUSED
from proxy.registrar.save import RegisterResult
from proxy.routing.exchange import Exchange
from proxy.shm.changes import ChangeRing
from proxy.shm.slots import Counters


class Committed(Protocol):
    """The table that was committed to."""

    changed_at: int


class Parking:
    """The waiting answers of one worker, bounded in number and in time."""

    def __init__(
        self,
        ring: ChangeRing,
        reader: int,
        wait_s: float,
        limit: int,
        retry_after: bytes,
        counters: Counters,
    ) -> None:
        self.ring = ring
        self.reader = reader
        self.wait_s = wait_s
        self.limit = limit
        self.retry_after = retry_after
        self.counters = counters
        self.queue: deque[tuple[int, float, Exchange, RegisterResult]] = deque()

    def hold(self, request: Exchange, result: RegisterResult, table: Committed, now: float) -> bool:
        """Whether the answer has to wait; then it is sent, or refused, without its policy.

        What changed nothing may repeat what has not been written yet, so it waits for everything.
        """
        position = table.changed_at if result.changed else self.ring.head
        if self.ring.done(self.reader) >= position:
            return False
        if len(self.queue) >= self.limit:
            self.counters.add(STORAGE_PARKED_REFUSED, 1)
            self._refuse(request)
            return True
        self.counters.add(STORAGE_PARKED, 1)
        request.waiting = True
        self.queue.append((position, now + self.wait_s, request, result))
        return True

    def release(self, data: bytes = b"") -> None:
        """Send what the database has by now."""
        done = self.ring.done(self.reader)
        queue = self.queue
        while queue and queue[0][0] <= done:
            _, _, request, result = queue.popleft()
            request.waiting = False
            request.answer(result.status, result.reason, result.headers, b"")

    def expire(self, now: float) -> None:
        """Refuse what has waited for too long; the phone will come again."""
        queue = self.queue
        if not queue or queue[0][1] > now:
            return
        self.release()
        while queue and queue[0][1] <= now:
            self.counters.add(STORAGE_PARKED_LATE, 1)
            self._refuse(queue.popleft()[2])

    def _refuse(self, request: Exchange) -> None:
        request.waiting = False
        request.answer(503, reason_phrase(503), self.retry_after, b"")
