"""The process that lets time pass: it sweeps out what has expired and what dead writers left.

It also says in the log, for the whole node, what workers only count because it may come in floods.

It works in stretches of a fraction of a millisecond and lets whoever waits for the processor go
first in between: a UDP worker pushes nobody aside, and its calls would wait for all of a sweep.

Everything it does may be repeated or left undone for a while: a lookup never serves an expired
contact, so a timekeeper that was killed costs nothing but memory until the next one runs.
"""

from __future__ import annotations

import select
import time
from typing import Final

from proxy.cluster import destinations
from proxy.errors import LockTimeout
from proxy.limits import counters
from proxy.registrar.expire import Horizon, alone, expire
from proxy.registrar.graves import Graves
from proxy.shm.answer_table import AnswerTable
from proxy.shm.location_table import LocationTable
from proxy.shm.repair import scavenge
from workers.child import Child
from workers.load import SAMPLE_S, LoadGauge
from workers.tracking import DialogKeeper

TURN_S: Final = 1.0
SWEEP_BATCH: Final = 64  # keys in a stretch
GRAVES_BATCH: Final = 200  # records, which have to be copied to be looked at
RECORDS_PER_SECOND: Final = 20_000  # of the sweep: a large table is swept less often than a small
LONGEST_PERIOD_S: Final = 10.0
SCAVENGE_SLOTS: Final = 1_000
ALARM_S: Final = 60.0  # between two lines about the same thing


def run(child: Child) -> int:
    """Sweep until asked to stop."""
    poll = select.poll()
    poll.register(child.stop_fd, select.POLLIN)
    poll.register(child.parent_fd, select.POLLIN)
    sweeper = Sweeper(child)
    dialogs = DialogKeeper(child)
    gauge = LoadGauge(child)
    next_turn = time.monotonic() + TURN_S
    child.log.debug("timekeeper is up")
    while True:
        child.beat()
        if poll.poll(SAMPLE_S * 1_000):
            return 0
        now = time.monotonic()
        gauge.turn(now)
        if now >= next_turn:
            next_turn = now + TURN_S
            sweeper.turn(now, int(time.time()))
            dialogs.turn(now, time.time_ns() // 1_000_000)


class Sweeper:
    """Takes expired contacts out of the location table, and what dead writers left in it."""

    def __init__(self, child: Child) -> None:
        self._child = child
        self._table: LocationTable = child.tables.location
        self._counters = child.tables.slots.counters(child.slot)
        self._replicated = child.config.replicates("location")
        self._graves = Graves(self._table)
        self._next_at = 0.0
        self._alarms = Alarms(child)

    def turn(self, now: float, now_wall: int) -> None:
        """One second's work."""
        recovered = scavenge(self._table, SCAVENGE_SLOTS)
        self._child.pause()
        if recovered:
            self._counters.add(counters.SLOTS_SCAVENGED, recovered)
            # Not only after a death: a freed slot whose list is busy is left for this as well.
            self._child.log.debug("slots taken back", slots=recovered)
        dialogs = self._child.tables.dialogs
        repairs = self._table.repairs + (0 if dialogs is None else dialogs.repairs)
        self._counters.set(counters.REPAIRS, repairs)
        self._alarms.turn(now)
        self._child.pause()
        if now >= self._next_at:
            period_s = min(LONGEST_PERIOD_S, self._table.count / RECORDS_PER_SECOND)
            self._next_at = now + max(TURN_S, period_s) - TURN_S / 2
            self.sweep(now_wall)
            self.sweep_graves(now_wall)
            self.forget(now_wall)
            self.sweep_destinations(now_wall)

    def sweep_graves(self, now_wall: int) -> None:
        """Make room when what was removed takes too much of the table."""
        before = self._horizon(now_wall).before
        for _ in range(RECORDS_PER_SECOND // GRAVES_BATCH):
            self._graves.turn(before, GRAVES_BATCH)
            self._child.pause()
            if not self._graves.under_way:
                break
        if self._graves.forgotten:
            self._counters.add(counters.REMOVALS_FORGOTTEN, self._graves.forgotten)
            self._graves.forgotten = 0

    def sweep_destinations(self, now_wall: int) -> None:
        """Drop tombstones of destinations that every node has forgotten."""
        tables = self._child.tables
        if tables.destinations is not None and tables.cluster is not None:
            before = tables.cluster.horizon()[2]
            try:
                destinations.sweep(tables.destinations, now_wall, before)
            except LockTimeout:  # the next sweep finds them again
                self._counters.add(counters.LOCK_TIMEOUTS)

    def forget(self, now_wall: int) -> None:
        """Drop the answers of the database that nobody may believe any more."""
        access = self._child.tables.access
        if access is None:
            return
        cursor = 0
        while True:
            keys, cursor = access.answers.due(now_wall, cursor, SWEEP_BATCH)
            for key in keys:
                self._forget(access.answers, key, now_wall)
            self._child.pause()
            if cursor == 0:
                break
        scavenge(access.answers, SCAVENGE_SLOTS)

    def _forget(self, answers: AnswerTable, key: bytes, now_wall: int) -> None:
        stamp = answers.snapshot(key)[1]
        try:
            if answers.expires_at(key) <= now_wall:
                answers.commit(key, stamp, None, 0, 0)
        except LockTimeout:  # the next sweep finds it again
            self._counters.add(counters.LOCK_TIMEOUTS)

    def sweep(self, now_wall: int) -> int:
        """Expire everything that is due; how many contacts ran out."""
        cursor = expired = 0
        horizon = self._horizon(now_wall)
        while True:
            keys, cursor = self._table.due(now_wall, cursor, SWEEP_BATCH)
            for key in keys:
                expired += self._expire(key, horizon)
            self._child.pause()
            if cursor == 0:
                break
        self._counters.add(counters.USRLOC_LOCATION_EXPIRES, expired)
        return expired

    def _horizon(self, now_wall: int) -> Horizon:
        """What may go: without other nodes, all that ran out by our clock."""
        node, page = self._child.config.node.id, self._child.tables.cluster
        if page is None or not self._replicated:
            return alone(node, now_wall)
        node, grace, before = page.horizon(self._child.config.location.sharing_tag.encode())
        return Horizon(node, now_wall, grace, before)

    def _expire(self, key: bytes, horizon: Horizon) -> int:
        try:
            return expire(self._table, key, horizon)
        except LockTimeout:  # the next sweep finds it again
            self._counters.add(counters.LOCK_TIMEOUTS)
            return 0


class Alarms:
    """What is full or damaged: counted by whoever met it, said at most once a minute (R9)."""

    def __init__(self, child: Child) -> None:
        self._slots = child.tables.slots
        self._table: LocationTable = child.tables.location
        self._log = child.log
        self._told: dict[int, tuple[int, float]] = {
            column: (self._slots.total(column), -ALARM_S)
            for column in (
                counters.TABLE_FULL,
                counters.TRANSACTIONS_REFUSED,
                counters.INBOX_FULL,
                counters.RECEIVE_DROPS,
                counters.CORRUPT_RECORDS,
                counters.PIPES_FULL,
                counters.REMOVALS_FORGOTTEN,
            )
        }

    def turn(self, now: float) -> None:
        """Say what has come up since it was last said."""
        log, table = self._log, self._table
        if refused := self._news(counters.TABLE_FULL, now):
            users, _ = table.gauges()
            room = {"registered": users, "removed": table.count - users}
            log.error("location table full", refused=refused, **room, capacity=table.capacity)
        if refused := self._news(counters.TRANSACTIONS_REFUSED, now):
            log.error("too many transactions", refused=refused)
        if lost := self._news(counters.INBOX_FULL, now):
            log.error("inbox full", lost=lost)
        if lost := self._news(counters.RECEIVE_DROPS, now):
            log.error("receive queue full", lost=lost)
        if damaged := self._news(counters.CORRUPT_RECORDS, now):
            log.error("record unreadable", times=damaged)
        if forgotten := self._news(counters.REMOVALS_FORGOTTEN, now):
            log.warning("removals forgotten", records=forgotten, capacity=table.capacity)
        if refused := self._news(counters.PIPES_FULL, now):
            log.error("pipe table full", refused=refused)

    def _news(self, column: int, now: float) -> int:
        """How much a counter has risen; 0 as long as the last line about it is fresh."""
        total = self._slots.total(column)
        told, at = self._told[column]
        if total < told:  # it was reset
            told = 0
            self._told[column] = told, at
        if total == told or now - at < ALARM_S:
            return 0
        self._told[column] = total, now
        return total - told
