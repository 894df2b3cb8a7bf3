"""The process that lets time pass: it sweeps out what has expired and what dead writers left.

Everything it does may be repeated or left undone for a while: a lookup never serves an expired
contact, so a timekeeper that was killed costs nothing but memory until the next one runs.
"""

from __future__ import annotations

import select
import time
from typing import Final

from proxy.errors import LockTimeout
from proxy.limits import counters
from proxy.registrar.expire import expire
from proxy.shm.location_table import LocationTable
from proxy.shm.repair import scavenge
from workers.child import Child

TURN_S: Final = 1.0
SWEEP_BATCH: Final = 500  # keys between two heartbeats
RECORDS_PER_SECOND: Final = 20_000  # of the sweep: a large table is swept less often than a small
LONGEST_PERIOD_S: Final = 10.0
SCAVENGE_SLOTS: Final = 1_000


def run(child: Child) -> int:
    """Sweep until asked to stop."""
    poll = select.poll()
    poll.register(child.stop_fd, select.POLLIN)
    poll.register(child.parent_fd, select.POLLIN)
    sweeper = Sweeper(child)
    child.log.debug("timekeeper is up")
    while True:
        child.beat()
        if poll.poll(TURN_S * 1_000):
            return 0
        sweeper.turn(time.monotonic(), int(time.time()))


class Sweeper:
    """Takes expired contacts out of the location table, and what dead writers left in it."""

    def __init__(self, child: Child) -> None:
        self._child = child
        self._table: LocationTable = child.tables.location
        self._counters = child.tables.slots.counters(child.slot)
        self._next_at = 0.0

    def turn(self, now: float, now_wall: int) -> None:
        """One second's work."""
        recovered = scavenge(self._table, SCAVENGE_SLOTS)
        if recovered:
            self._counters.add(counters.SLOTS_SCAVENGED, recovered)
            self._child.log.notice("memory of dead writers recovered", slots=recovered)
        self._counters.set(counters.REPAIRS, self._table.repairs)
        if now >= self._next_at:
            period_s = min(LONGEST_PERIOD_S, self._table.count / RECORDS_PER_SECOND)
            self._next_at = now + max(TURN_S, period_s) - TURN_S / 2
            self.sweep(now_wall)

    def sweep(self, now_wall: int) -> int:
        """Expire everything that is due; how many contacts ran out."""
        cursor = expired = 0
        while True:
            keys, cursor = self._table.due(now_wall, cursor, SWEEP_BATCH)
            for key in keys:
                expired += self._expire(key, now_wall)
            self._child.beat()
            if cursor == 0:
                break
        self._counters.add(counters.USRLOC_LOCATION_EXPIRES, expired)
        return expired

    def _expire(self, key: bytes, now_wall: int) -> int:
        try:
            return expire(self._table, key, now_wall)
        except LockTimeout:  # the next sweep finds it again
            self._counters.add(counters.LOCK_TIMEOUTS)
            return 0
