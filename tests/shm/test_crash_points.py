"""Every operation is killed before each of its stores into shared memory, one after the other.

The arena counts stores, so the points need no naming and none can be forgotten; a byte string is
two stores. Four neighbourhoods of the record's bucket, all operations: a few thousand deaths.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from shm_family import killed_at, run

from proxy.errors import ShmError, TableFull
from proxy.shm.inbox import Inbox
from proxy.shm.location_table import LocationTable
from proxy.shm.repair import check, examine, scavenge
from proxy.shm.shards import Shards
from proxy.shm.slots import ProcessSlots

Make = Callable[..., LocationTable]
Records = dict[bytes, tuple[bytes, int]]

OLD = (b"old" * 50, 2)
OPERATIONS: dict[str, tuple[tuple[bytes, int] | None, tuple[bytes, int] | None]] = {
    "insert": (None, (b"new" * 50, 3)),
    "insert into a class without pages": (None, (b"new" * 3000, 3)),
    "update": (OLD, (b"new" * 50, 2)),
    "update, other units": (OLD, (b"new" * 50, 5)),
    "update to a larger class": (OLD, (b"new" * 200, 3)),
    "update to a class without pages": (OLD, (b"new" * 3000, 3)),
    "update to a smaller class": (OLD, (b"n", 1)),
    "delete": (OLD, None),
}
NEIGHBOURS = {"alone": (0, 0), "before others": (0, 2), "after others": (2, 0), "between": (2, 2)}


def colliding(table: LocationTable, count: int) -> list[bytes]:
    keys: list[bytes] = []
    number = 0
    while len(keys) < count:
        key = b"u%d@example.com" % number
        if table.hash_of(key) & table.bucket_mask == 9:
            keys.append(key)
        number += 1
    return keys


def put(table: LocationTable, key: bytes, value: tuple[bytes, int] | None) -> None:
    payload, units = value or (None, 0)
    assert table.commit(key, table.snapshot(key)[1], payload, 1000, units)


def contents(table: LocationTable) -> dict[bytes, bytes]:
    rows: list[tuple[bytes, bytes]] = []
    cursor = 0
    while True:
        found, cursor = table.scan(cursor, 100)
        rows += found
        if cursor == 0:
            assert len(rows) == len(dict(rows))
            return dict(rows)


def expected_units(records: Records) -> int:
    return sum(units for _, units in records.values())


def verify_after(
    table: LocationTable, key: bytes, records: Records, before: object, after: object, copy: Path
) -> bool:
    """All invariants after a death; True when the new state is the one that holds."""
    payload = table.snapshot(key)[0]
    states = [None if state is None else state[0] for state in (before, after)]
    assert payload in states
    now = after if payload == states[1] and before != after else before
    whole = {name: value for name, (value, _) in records.items()}
    whole |= {} if now is None else {key: now[0]}
    assert contents(table) == whole

    shutil.copyfile(table.arena.path, copy)  # everybody else is killed at this moment, too
    assert check(str(copy)).faults == []
    restarted = LocationTable.attach(str(copy))
    assert contents(restarted) == whole
    assert restarted.loaded is not None
    assert (restarted.loaded.dropped, examine(restarted).leaked) == (0, 0)
    assert examine(restarted).ok
    restarted.close()

    report = examine(table)
    units = expected_units(records) + (0 if now is None else now[1])
    assert report.faults == []
    assert (report.records, report.units, table.count, table.units) == (
        len(whole),
        units,
        len(whole),
        units,
    )
    assert report.free + report.records + report.leaked == report.slots
    assert report.leaked <= 2
    assert scavenge(table, 1_000_000) == report.leaked
    report = examine(table)
    assert (report.leaked, report.faults, contents(table)) == (0, [], whole)
    return now == after


@pytest.mark.parametrize("neighbours", NEIGHBOURS)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_death_at_any_store_leaves_the_old_record_or_the_new_one(
    make_table: Make, tmp_path: Path, operation: str, neighbours: str
) -> None:
    before, after = OPERATIONS[operation]
    behind, ahead = NEIGHBOURS[neighbours]
    store, committed, survived = 0, [], False
    table = make_table()
    while not survived:
        store += 1
        if "without pages" in operation:
            table = make_table()
        keys = colliding(table, 5)
        key, others = keys[0], keys[1:]
        for old in contents(table):
            put(table, old, None)
        records: Records = {b"elsewhere": (b"untouched", 1)}
        records |= dict.fromkeys(others[: behind + ahead], (b"neighbour", 1))
        for name in [b"elsewhere", *others[:behind]]:
            put(table, name, records[name])
        if before is not None:
            put(table, key, before)
        for name in others[behind : behind + ahead]:
            put(table, name, records[name])
        stamp = table.snapshot(key)[1]
        payload, units = after or (None, 0)
        survived = not killed_at(store, table.commit, key, stamp, payload, 1000, units)
        copy = tmp_path / f"copy-{store}"
        committed.append(verify_after(table, key, records, before, after, copy))
        copy.unlink()
    assert committed == sorted(committed), "a commit was undone"
    assert committed[0] is False
    assert committed[-1] is True
    assert store > 8


def test_a_death_during_the_repair_of_a_dead_process_is_repaired_in_turn(make_table: Make) -> None:
    """A dies holding stripe and list; B at each store of its repair and write; C finds all well."""
    big, new = (b"old" * 4000, 2), b"new" * 4000  # few slots to a page, so that lists are short
    for first in range(2, 30, 5):
        second, survived = 0, False
        table = make_table()
        while not survived:
            second += 1
            for name in colliding(table, 4):
                put(table, name, big)
            key = colliding(table, 1)[0]
            stamp = table.snapshot(key)[1]
            if not killed_at(first, table.commit, key, stamp, new, 1000, 2):
                assert first > 15
                return
            seen = contents(table)
            survived = not killed_at(second, put, table, key, (new, 2))
            assert contents(table) in (seen, {**seen, key: new})
            seen = contents(table)
            assert examine(table).faults == []
            scavenge(table, 1_000_000)
            report = examine(table)
            assert (report.leaked, report.records, table.count) == (0, 4, 4)
            assert contents(table) == seen


def test_a_death_while_empty_pages_are_released_is_repaired(make_table: Make) -> None:
    store, survived = 0, False
    while not survived:
        store += 7
        table = make_table(1_000)
        put(table, b"kept", (b"kept", 1))
        fat = 0
        with suppress(TableFull):
            for fat in range(1_000):
                put(table, b"fat%d" % fat, (bytes(9_000), 1))
        for number in range(fat):
            put(table, b"fat%d" % number, None)
        survived = not killed_at(store, table.slabs.release_pages)
        for number in range(50):  # somebody goes on before the next scavenger does
            put(table, b"early%d" % number, (bytes(3_000), 1))
        scavenge(table, 1_000_000)
        for number in range(800):
            if number % 100 == 0:
                scavenge(table, 1_000_000)
            put(table, b"n%d" % number, (bytes(100), 1))
        report = examine(table)
        assert (report.faults, report.leaked, report.records) == ([], 0, 851)
        assert contents(table)[b"kept"] == b"kept"
    assert store > 7


def test_a_death_while_attaching_leaves_a_file_that_can_be_attached(
    make_table: Make, tmp_path: Path
) -> None:
    table = make_table()
    for number in range(20):
        put(table, b"k%d" % number, (b"%d" % number * 40, 1))
    stamp = table.snapshot(b"k3")[1]
    assert killed_at(12, lambda: table.commit(b"k3", stamp, b"new" * 50, 1000, 2))
    whole = contents(table)
    table.close()
    copy = tmp_path / "copy"
    for store in range(1, 5000, 29):
        shutil.copyfile(table.arena.path, copy)
        killed = killed_at(store, lambda: LocationTable.attach(str(copy)))
        again = LocationTable.attach(str(copy))
        assert contents(again) == whole
        report = examine(again)
        assert (report.faults, report.leaked) == ([], 0)
        again.close()
        if not killed:
            break
    else:
        pytest.fail("attaching never came to its end")


def test_a_death_while_creating_leaves_a_file_that_is_refused(tmp_path: Path) -> None:
    refused = 0
    for store in range(1, 2000):
        path = tmp_path / f"t{store}"
        if not killed_at(store, lambda path=path: LocationTable.create(str(path), 64)):
            break
        try:
            LocationTable.attach(str(path)).close()
        except ShmError:
            refused += 1
        path.unlink()
    assert refused > 10


def test_a_producer_that_dies_leaves_a_whole_message_or_none() -> None:
    inbox = Inbox.create(size=4096)
    survived, store = False, 0
    while not survived:
        store += 1
        assert inbox.push(1, b"before", 1, b"b" * 100)
        survived = not killed_at(store, lambda: inbox.push(2, b"dying", 2, b"d" * 900))
        assert inbox.push(3, b"after", 3, b"a" * 100)
        messages = inbox.pop(10)
        dying = (2, b"dying", 2, b"d" * 900)
        assert [m for m in messages if m != dying] == [
            (1, b"before", 1, b"b" * 100),
            (3, b"after", 3, b"a" * 100),
        ]
        assert messages.count(dying) <= 1
    assert store > 10
    assert inbox.empty


def test_a_consumer_that_dies_leaves_the_rest_to_the_next() -> None:
    inbox = Inbox.create(size=4096)
    survived, store = False, 0
    while not survived:
        store += 1
        for number in range(4):
            assert inbox.push(number, b"a", number, b"x" * 50)
        survived = not killed_at(store, lambda: (inbox.pop(2), inbox.announce_sleep()))
        left = [message[0] for message in inbox.pop(10)]
        assert left in ([0, 1, 2, 3], [2, 3])
    assert store > 1


def test_a_death_in_process_slots_or_shards_leaves_readable_rows() -> None:
    slots = ProcessSlots.create(None, 2, 3)
    slots.claim(0, 10, "udp worker", 1)
    for store in range(1, 12):
        killed_at(store, lambda: slots.claim(0, 11, "timekeeper", 2))
        assert slots.row(0).pid in (10, 11)
        assert slots.live()[0].row == 0
    shards = Shards.create(None, 4)
    for store in range(1, 300, 50):
        killed_at(store, lambda: shards.spread([0, 1, 2]))
        assert {shards.owner(shard) for shard in range(1024)} <= {0, 1, 2, 3}
    assert run(lambda: shards.spread([0, 1, 2])) == 0
    assert {shards.owner(shard) for shard in range(1024)} == {0, 1, 2}
