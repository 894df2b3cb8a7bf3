"""The expiry sweep."""

from __future__ import annotations

import pytest

from proxy.limits import counters
from proxy.registrar.binding import Binding, encode
from proxy.registrar.commit import commit_bindings
from proxy.registrar.tombstones import tombstone_of
from proxy.shm.cluster_page import ClusterPage
from workers.child import Child
from workers.settings import Config
from workers.timekeeper import Alarms, Sweeper

NOW = 1_000_000


def put(child: Child, key: bytes, *expires: int) -> None:
    bindings = []
    for number, at in enumerate(expires):
        binding = Binding(b"sip:%d@192.0.2.1" % number)
        binding.expires = at
        bindings.append(binding)
    earliest = min((at for at in expires if at), default=2**40)
    child.tables.location.commit(key, 0, encode(bindings), earliest, len(bindings))


def test_what_is_due_goes_and_the_rest_stays(child: Child) -> None:
    put(child, b"gone@x", NOW - 1, NOW)
    put(child, b"half@x", NOW - 1, NOW + 60)
    put(child, b"live@x", NOW + 60)
    put(child, b"ever@x", 0)
    assert Sweeper(child).sweep(NOW) == 3
    location = child.tables.location
    assert (location.count, location.units) == (3, 3)
    assert location.snapshot(b"gone@x") == (None, 0)
    assert child.tables.slots.total(counters.USRLOC_LOCATION_EXPIRES) == 3


def test_a_large_sweep_gives_signs_of_life(child: Child) -> None:
    for number in range(900):
        put(child, b"u%d@x" % number, NOW - 1)
    assert Sweeper(child).sweep(NOW) == 900
    assert child.tables.location.count == 0
    assert child.tables.slots.row(child.slot).heartbeat > 0


def test_turns_sweep_once_a_second(child: Child) -> None:
    sweeper = Sweeper(child)
    put(child, b"a@x", NOW)
    sweeper.turn(10.0, NOW - 1)
    sweeper.turn(10.2, NOW)
    assert child.tables.location.count == 1
    sweeper.turn(11.0, NOW)
    assert child.tables.location.count == 0


def test_what_is_full_is_said_once_a_minute_for_the_whole_node(
    child: Child, lines: list[str]
) -> None:
    workers = [child.tables.slots.counters(row) for row in (3, 4)]
    workers[0].add(counters.TABLE_FULL, 7)  # before this timekeeper came
    alarms = Alarms(child)
    alarms.turn(10.0)
    assert lines == []
    for second in range(30):
        for worker in workers:
            worker.add(counters.TABLE_FULL)
        alarms.turn(10.0 + second)
    assert len(lines) == 1
    assert "location table full" in lines[0]
    assert "refused=2 registered=0 removed=0 capacity=1000" in lines[0]
    alarms.turn(75.0)
    assert len(lines) == 2
    assert "refused=58" in lines[1]
    alarms.turn(500.0)
    assert len(lines) == 2


def test_alarms_outlive_a_reset(child: Child, lines: list[str]) -> None:
    worker, alarms = child.tables.slots.counters(3), Alarms(child)
    worker.add(counters.INBOX_FULL, 9)
    alarms.turn(10.0)
    child.tables.slots.reset(counters.INBOX_FULL)
    worker.add(counters.INBOX_FULL, 2)
    alarms.turn(80.0)
    assert [line.rpartition(" ")[2].strip() for line in lines] == ["lost=9", "lost=2"]


def test_each_bound_has_its_line(child: Child, lines: list[str]) -> None:
    worker, alarms = child.tables.slots.counters(3), Alarms(child)
    for column in (
        counters.TRANSACTIONS_REFUSED,
        counters.INBOX_FULL,
        counters.RECEIVE_DROPS,
        counters.CORRUPT_RECORDS,
    ):
        worker.add(column)
    alarms.turn(10.0)
    for phrase in ("too many transactions", "inbox full", "receive queue full"):
        assert sum(phrase in line for line in lines) == 1
    assert "record unreadable times=1" in lines[-1]


def test_a_full_table_of_pipes_is_said(child: Child, lines: list[str]) -> None:
    alarms = Alarms(child)
    child.tables.slots.counters(3).add(counters.PIPES_FULL, 4)
    alarms.turn(10.0)
    assert "pipe table full refused=4" in lines[-1]


def test_others_phones_and_tombstones_stay_as_long_as_the_clusterer_says(
    child: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Config, "replicates", lambda self, content: True)
    page = ClusterPage.create(None, 7, [], [1], 5)
    child.tables.cluster = page
    for name, origin in ((b"ours@x", 7), (b"theirs@x", 8)):
        binding = Binding(b"sip:a@192.0.2.1")
        binding.expires, binding.origin, binding.version = NOW, origin, 1
        commit_bindings(child.tables.location, name, 0, [binding])
    gone = tombstone_of(Binding(b"sip:a@192.0.2.1"), NOW, 7)
    gone.version = (NOW - 900) * 1_000 << 16
    commit_bindings(child.tables.location, b"gone@x", 0, [gone])
    sweeper = Sweeper(child)
    assert sweeper.sweep(NOW + 4) == 1
    assert child.tables.location.count == 2
    assert sweeper.sweep(NOW + 5) == 1
    assert (child.tables.location.count, child.tables.location.gauges()) == (1, (0, 0))
    page.set_horizon(gone.version + 1, 0, 5)
    assert sweeper.sweep(NOW + 6) == 0
    assert child.tables.location.count == 0
