"""Tombstones take a part of the table and no more: what is registered comes first."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.errors import LockTimeout
from proxy.registrar.binding import Binding
from proxy.registrar.commit import commit_bindings
from proxy.registrar.graves import Graves, is_crowded
from proxy.registrar.tombstones import tombstone_of
from proxy.shm.location_table import LocationTable
from tests.unit.registrar.conftest import Registrar

CAPACITY = 160
SHARE = CAPACITY // 4
ALL = CAPACITY - CAPACITY // 16
NOW = 1_700_000_000
C1 = b"sip:alice@198.51.100.7"


@pytest.fixture
def table(tmp_path: Path) -> Iterator[LocationTable]:
    made = LocationTable.create(str(tmp_path / "location.table"), CAPACITY)
    yield made
    made.close()


def bury(table: LocationTable, version: int) -> None:
    gone = tombstone_of(Binding(C1), NOW, 7)
    gone.version = version
    commit_bindings(table, b"gone%d@x" % version, 0, [gone])


def register(table: LocationTable, number: int) -> None:
    live = Binding(C1)
    live.version, live.origin = 1, 7
    commit_bindings(table, b"live%d@x" % number, 0, [live])


def versions(table: LocationTable) -> list[int]:
    names = [key for key, _ in table.scan(0, 10 * CAPACITY)[0]]
    return sorted(int(name[4:-2]) for name in names if name.startswith(b"gone"))


def walk(graves: Graves, settled: int, limit: int = 10 * CAPACITY) -> int:
    """Turns until nothing is left to do."""
    removed = 0
    for _ in range(200):
        removed += graves.turn(settled, limit)
    return removed


def test_a_share_of_the_table_is_theirs(table: LocationTable) -> None:
    for number in range(1, SHARE + 1):
        bury(table, number)
    assert not is_crowded(table)
    assert walk(Graves(table), settled=1000) == 0
    bury(table, SHARE + 1)
    assert is_crowded(table)


@pytest.mark.parametrize("limit", [1, 7, 10 * CAPACITY])
def test_those_that_every_node_has_go_first(table: LocationTable, limit: int) -> None:
    for number in range(1, SHARE + 11):
        bury(table, number)
    graves = Graves(table)
    settled = SHARE + 6
    walk(graves, settled, limit)
    assert not is_crowded(table)
    assert set(versions(table)) >= set(range(settled, SHARE + 11))
    assert graves.forgotten == 0


def test_then_the_oldest(table: LocationTable) -> None:
    for number in range(1, SHARE + 11):
        bury(table, number)
    graves = Graves(table)
    assert walk(graves, settled=0) == graves.forgotten == 10
    assert versions(table) == list(range(11, SHARE + 11))


def test_the_last_of_the_room_is_for_phones(table: LocationTable) -> None:
    for number in range(ALL - 5):
        register(table, number)
    for number in range(1, 10):
        bury(table, number)
    graves = Graves(table)
    walk(graves, settled=0)
    assert (graves.forgotten, versions(table)) == (4, [5, 6, 7, 8, 9])
    for number in range(ALL - 5, CAPACITY - 5):
        register(table, number)
    walk(graves, settled=0)
    assert versions(table) == []
    assert table.gauges() == (CAPACITY - 5, CAPACITY - 5)


def test_what_has_changed_meanwhile_stays(table: LocationTable) -> None:
    for number in range(1, SHARE + 3):
        bury(table, number)
    graves = Graves(table)
    scan = table.scan(0, 10 * CAPACITY)

    class Stale:
        """The table as it was a moment ago."""

        def __getattr__(self, name: str) -> object:
            return getattr(table, name)

        def scan(self, cursor: int, limit: int) -> object:
            return scan

    _, stamp = table.snapshot(b"gone1@x")
    live = Binding(C1)
    live.version, live.origin = 1, 7
    assert commit_bindings(table, b"gone1@x", stamp, [live])
    graves.table = Stale()  # type: ignore[assignment]
    assert graves.turn(2, 10) == 0
    assert table.gauges() == (1, 1)


def test_a_lock_that_is_held_costs_a_walk(table: LocationTable) -> None:
    for number in range(1, SHARE + 3):
        bury(table, number)

    class Held:
        """A table whose locks others hold."""

        def __getattr__(self, name: str) -> object:
            return getattr(table, name)

        def commit(self, *record: object) -> bool:
            raise LockTimeout("held")

    graves = Graves(Held())  # type: ignore[arg-type]
    assert walk(graves, settled=1000) == graves.forgotten == 0
    assert walk(Graves(table), settled=1000) == SHARE + 2


def test_what_is_only_elsewhere_takes_no_slot_of_a_crowded_table(registrar: Registrar) -> None:
    registrar.use(replicated=True)
    table = registrar.table
    for number in range(table.capacity // 4 + 1):
        bury(table, number + 1)
    for contact, expires in ((b"*", b"Expires: 0"), (b"<" + C1 + b">;expires=0", b"Expires: 9")):
        count = table.count
        assert registrar.register(b"Contact: " + contact, expires).status == 200
        assert table.count == count
    assert registrar.register(b"Contact: <" + C1 + b">", cseq=2).contacts == 1
