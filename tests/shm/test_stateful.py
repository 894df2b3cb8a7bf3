"""A table against a dict: any sequence of operations, restarts and deaths included."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule
from shm_family import killed_at

from proxy.errors import TableFull
from proxy.shm.location_table import LocationTable
from proxy.shm.repair import examine, scavenge

KEYS = st.sampled_from([b"k%d" % number for number in range(24)])
PAYLOADS = st.integers(0, 3000).map(lambda length: bytes([length & 0xFF]) * length)
CAPACITY = 16


class TableModel(RuleBasedStateMachine):
    stamps = Bundle("stamps")

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="sipherd-shm-"))
        self.path = str(self.folder / "location")
        self.table = LocationTable.create(self.path, CAPACITY, seed=1)
        self.model: dict[bytes, tuple[bytes, int, int]] = {}
        self.current: dict[bytes, int] = {}

    def teardown(self) -> None:
        self.table.close()
        shutil.rmtree(self.folder)

    @rule(target=stamps, key=KEYS)
    def look(self, key: bytes) -> tuple[bytes, int]:
        payload, stamp = self.table.snapshot(key)
        assert payload == (self.model[key][0] if key in self.model else None)
        self.current[key] = stamp
        return key, stamp

    @rule(seen=stamps, payload=PAYLOADS, expires_at=st.integers(0, 100), units=st.integers(0, 9))
    def write(self, seen: tuple[bytes, int], payload: bytes, expires_at: int, units: int) -> None:
        key, stamp = seen
        fresh = self.table.snapshot(key)[1] == stamp
        full = stamp == 0 and fresh and len(self.model) == CAPACITY
        try:
            done = self.table.commit(key, stamp, payload, expires_at, units)
        except TableFull:
            assert full
            return
        assert (done, full) == (fresh, False)
        if done:
            self.model[key] = (payload, expires_at, units)

    @rule(seen=stamps)
    def delete(self, seen: tuple[bytes, int]) -> None:
        key, stamp = seen
        fresh = self.table.snapshot(key)[1] == stamp
        assert self.table.commit(key, stamp, None, 0, 0) == fresh
        if fresh:
            self.model.pop(key, None)

    @rule(key=KEYS, payload=PAYLOADS, store=st.integers(1, 40))
    def die_writing(self, key: bytes, payload: bytes, store: int) -> None:
        stamp = self.table.snapshot(key)[1]
        if stamp == 0 and len(self.model) == CAPACITY:
            return
        killed_at(store, lambda: self.table.commit(key, stamp, payload, 7, 1))
        now = self.table.snapshot(key)[0]
        before = self.model[key][0] if key in self.model else None
        assert now in (before, payload)
        if self.table.snapshot(key)[1] != stamp:
            self.model[key] = (payload, 7, 1)

    @rule(budget=st.integers(1, 5000))
    def sweep(self, budget: int) -> None:
        scavenge(self.table, budget)

    @rule(now=st.integers(0, 100))
    def expire(self, now: int) -> None:
        keys, cursor = self.table.due(now, 0, 1000)
        assert cursor == 0
        assert sorted(keys) == sorted(k for k, (_, at, _) in self.model.items() if at <= now)

    @rule(clean=st.booleans())
    def restart(self, clean: bool) -> None:
        self.table.close(clean)
        self.table = LocationTable.attach(self.path)
        assert self.table.loaded is not None
        assert (self.table.loaded.records, self.table.loaded.dropped) == (len(self.model), 0)

    @invariant()
    def same(self) -> None:
        rows, cursor = self.table.scan(0, 1000)
        assert cursor == 0
        assert sorted(rows) == sorted((key, value[0]) for key, value in self.model.items())
        report = examine(self.table)
        assert report.faults == []
        assert report.free + report.records + report.leaked == report.slots
        assert self.table.units == sum(units for _, _, units in self.model.values())


TestTableModel = TableModel.TestCase
TestTableModel.settings = settings(
    max_examples=25,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
