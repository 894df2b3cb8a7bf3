from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.errors import ShmError, TableFull
from proxy.shm import layout
from proxy.shm.arena import Arena
from proxy.shm.location_table import LocationTable
from proxy.shm.repair import check, examine, scavenge

Make = Callable[..., LocationTable]


def colliding(table: LocationTable, count: int, name: bytes = b"u") -> list[bytes]:
    """Keys that all fall into one bucket."""
    keys: list[bytes] = []
    number = 0
    while len(keys) < count:
        key = b"%s%d@example.com" % (name, number)
        if table.hash_of(key) & table.bucket_mask == 5:
            keys.append(key)
        number += 1
    return keys


def put(table: LocationTable, key: bytes, payload: bytes | None, units: int = 1) -> None:
    assert table.commit(key, table.snapshot(key)[1], payload, 100, units)


def test_a_record_is_inserted_read_replaced_and_deleted(table: LocationTable) -> None:
    assert table.snapshot(b"alice") == (None, 0)
    assert table.commit(b"alice", 0, b"one", 50, 2)
    payload, stamp = table.snapshot(b"alice")
    assert (payload, table.count, table.units, table.expires_at(b"alice")) == (b"one", 1, 2, 50)
    assert table.commit(b"alice", stamp, b"two" * 300, 60, 3)
    payload, stamp = table.snapshot(b"alice")
    assert (payload, table.count, table.units, table.expires_at(b"alice")) == (
        b"two" * 300,
        1,
        3,
        60,
    )
    assert table.commit(b"alice", stamp, None, 0, 0)
    assert table.snapshot(b"alice") == (None, 0)
    assert (table.count, table.units, table.expires_at(b"alice")) == (0, 0, 0)


def test_a_commit_against_another_record_than_the_one_seen_is_refused(table: LocationTable) -> None:
    put(table, b"alice", b"one")
    _, stamp = table.snapshot(b"alice")
    put(table, b"alice", b"two")
    assert not table.commit(b"alice", stamp, b"three", 1, 1)
    assert not table.commit(b"alice", 0, b"three", 1, 1)
    assert not table.commit(b"alice", stamp, None, 1, 1)
    assert not table.commit(b"bob", stamp, b"three", 1, 1)
    assert table.snapshot(b"alice")[0] == b"two"
    assert table.snapshot(b"bob") == (None, 0)


def test_a_slot_used_again_for_the_same_key_has_another_stamp(table: LocationTable) -> None:
    put(table, b"alice", b"same")
    _, stamp = table.snapshot(b"alice")
    seen = {stamp}
    for _ in range(20):
        put(table, b"alice", None)
        put(table, b"alice", b"same")
        seen.add(table.snapshot(b"alice")[1])
    assert len(seen) == 21


def test_deleting_what_is_absent_succeeds_and_does_nothing(table: LocationTable) -> None:
    assert table.commit(b"alice", 0, None, 0, 0)
    assert table.count == 0


@pytest.mark.parametrize("size", [0, 1, 63, 64, 300, 4096, 60_000, 65_536 - 40 - 5])
def test_payloads_of_every_size_come_back(table: LocationTable, size: int) -> None:
    payload = os.urandom(size)
    put(table, b"alice", payload)
    assert table.snapshot(b"alice")[0] == payload
    assert examine(table).faults == []


def test_a_record_too_large_for_any_slot_is_refused(table: LocationTable) -> None:
    with pytest.raises(ShmError, match="exceeds 65536"):
        table.commit(b"alice", 0, bytes(65_536 - 40 - 4), 1, 1)
    assert examine(table).leaked == 0


def test_many_records_in_one_bucket_are_told_apart(table: LocationTable) -> None:
    keys = colliding(table, 20)
    for number, key in enumerate(keys):
        put(table, key, b"%d" % number)
    for number, key in enumerate(keys):
        assert table.snapshot(key)[0] == b"%d" % number
    for key in keys[::3]:
        put(table, key, None)
    for number, key in enumerate(keys):
        assert table.snapshot(key)[0] == (None if number % 3 == 0 else b"%d" % number)


def test_a_full_table_keeps_what_it_has_and_still_takes_changes(make_table: Make) -> None:
    table = make_table(10)
    for number in range(10):
        put(table, b"%d" % number, b"x")
    with pytest.raises(TableFull, match="holds its 10 records"):
        table.commit(b"eleventh", 0, b"x", 1, 1)
    put(table, b"3", b"changed")
    assert [table.snapshot(b"%d" % number)[0] for number in (2, 3)] == [b"x", b"changed"]
    put(table, b"3", None)
    put(table, b"eleventh", b"x")
    report = examine(table)
    assert (table.count, report.ok, report.leaked) == (10, True, 0)


def fill(table: LocationTable, payload: bytes) -> int:
    """Insert records of one payload until there is no room; how many went in."""
    stored = 0
    while True:
        try:
            put(table, b"%d" % stored, payload)
        except TableFull:
            return stored
        stored += 1


@pytest.mark.parametrize("size", [100, 1_000, 9_000, 30_000])
def test_when_nothing_new_fits_every_record_can_still_be_replaced(
    make_table: Make, size: int
) -> None:
    table = make_table(100_000, bytes_per_aor=1)
    stored = fill(table, b"x" * size)
    for payload in (b"y" * size, b"y" * (size - 20), b"z"):
        for number in range(stored):
            put(table, b"%d" % number, payload)
        assert table.count == stored
    report = examine(table)
    assert (report.ok, report.leaked) == (True, 0)


def test_pages_that_have_become_empty_serve_other_sizes(make_table: Make) -> None:
    table = make_table(1_000)
    for number in range(fill(table, bytes(5_000))):
        put(table, b"%d" % number, None)
    put(table, b"meanwhile", b"a larger slot rather than none")
    scavenge(table)
    for number in range(900):
        put(table, b"n%d" % number, bytes(100))
    assert table.snapshot(b"meanwhile")[0] == b"a larger slot rather than none"
    report = examine(table)
    assert (report.ok, report.leaked, table.count) == (True, 0, 901)


def test_attaching_empties_pages_as_well(make_table: Make) -> None:
    table = make_table(1_000)
    for number in range(fill(table, bytes(5_000))):
        put(table, b"%d" % number, None)
    table.close(clean=True)
    table = LocationTable.attach(table.arena.path)
    for number in range(1_000):
        put(table, b"n%d" % number, bytes(100))
    assert examine(table).ok


def test_a_slot_of_a_page_given_anew_has_no_stamp_of_old(make_table: Make) -> None:
    table = make_table(1_000)
    stamps = set()
    for _ in range(5):
        stored = fill(table, bytes(9_000))
        stamps |= (fresh := {table.snapshot(b"%d" % number)[1] for number in range(stored)})
        assert len(fresh) == stored
        for number in range(stored):
            put(table, b"%d" % number, None)
        scavenge(table)
        assert table.slabs.page_class(0) < 0
    assert len(stamps) == 5 * stored


def test_running_out_of_pages_keeps_what_there_is(make_table: Make) -> None:
    table = make_table(1000, bytes_per_aor=1)
    stored = fill(table, bytes(30_000))
    assert stored >= 64 - layout.LISTS
    for number in range(stored):
        assert table.snapshot(b"%d" % number)[0] == bytes(30_000)
    put(table, b"0", None)
    put(table, b"another", bytes(29_000))
    report = examine(table)
    assert (report.ok, report.leaked, report.free + report.records) == (True, 0, report.slots)


def test_a_larger_free_slot_serves_when_its_own_size_has_none(make_table: Make) -> None:
    table = make_table(1000, bytes_per_aor=1)
    fill(table, bytes(60_000))
    put(table, b"0", None)
    put(table, b"small", bytes(50_000))
    assert table.snapshot(b"small")[0] == bytes(50_000)
    assert examine(table).ok


def test_scan_meets_every_record_once(make_table: Make) -> None:
    table = make_table(1000)
    expected = {b"k%d" % number: b"v%d" % number for number in range(500)}
    for key, value in expected.items():
        put(table, key, value)
    found: list[tuple[bytes, bytes]] = []
    cursor, rounds = 0, 0
    while cursor or not rounds:
        rows, cursor = table.scan(cursor, 7)
        found += rows
        rounds += 1
    assert rounds > 10
    assert len(found) == 500
    assert dict(found) == expected


def test_due_names_exactly_the_records_whose_time_has_come(make_table: Make) -> None:
    table = make_table(1000)
    for number in range(300):
        assert table.commit(b"k%d" % number, 0, b"v", number, 1)
    found: list[bytes] = []
    cursor, rounds = 0, 0
    while cursor or not rounds:
        keys, cursor = table.due(99, cursor, 10)
        found += keys
        rounds += 1
    assert sorted(found) == sorted(b"k%d" % number for number in range(100))


def test_an_empty_scan_of_an_empty_table_ends(table: LocationTable) -> None:
    assert table.scan(0, 10) == ([], 0)
    assert table.due(1 << 60, 0, 10) == ([], 0)


def test_a_table_comes_back_as_it_was_left(tmp_path: Path) -> None:
    path = str(tmp_path / "location")
    table = LocationTable.create(path, 1000, seed=3, boot_id=b"boot-1", created_at=5)
    for number in range(500):
        table.commit(b"k%d" % number, 0, b"v%d" % number, 100 + number, 2)
    table.close(clean=True)
    again = LocationTable.attach(path, boot_id=b"boot-1")
    assert again.loaded == layout.Loaded(500, 0, 0, was_clean=True, same_boot=True)
    assert (again.count, again.units) == (500, 1000)
    assert again.snapshot(b"k77")[0] == b"v77"
    assert again.expires_at(b"k77") == 177
    again.close()
    third = LocationTable.attach(path, boot_id=b"boot-2")
    assert third.loaded == layout.Loaded(500, 0, 0, was_clean=False, same_boot=False)
    third.close()


def test_a_file_in_use_is_neither_taken_nor_overwritten(table: LocationTable) -> None:
    path = table.arena.path
    with pytest.raises(ShmError, match="in use by another running server"):
        LocationTable.attach(path)
    with pytest.raises(ShmError, match="exists already"):
        LocationTable.create(path, 10)


def test_a_file_that_cannot_be_is_refused_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ShmError, match="No such file"):
        LocationTable.attach(str(tmp_path / "absent"))
    with pytest.raises(ShmError, match="No such file"):
        LocationTable.create(str(tmp_path / "absent" / "file"), 10)
    (tmp_path / "short").write_bytes(b"x")
    with pytest.raises(ShmError, match="shorter than its header"):
        LocationTable.attach(str(tmp_path / "short"))
    (tmp_path / "other").write_bytes(bytes(10_000))
    with pytest.raises(ShmError, match="not a sipherd shared file"):
        LocationTable.attach(str(tmp_path / "other"))
    with pytest.raises(ShmError, match="not possible"):
        LocationTable.create(str(tmp_path / "zero"), 0)
    with pytest.raises(ShmError):
        LocationTable.attach(str(tmp_path))


@pytest.mark.parametrize(
    ("offset", "sentence"),
    [
        (0, "not a sipherd shared file"),
        (8, "layout version"),
        (40, "damaged header"),
        (16, "damaged header"),
        (70, "damaged header"),
        (256, "damaged header"),
    ],
)
def test_a_header_that_does_not_match_is_refused(
    tmp_path: Path, offset: int, sentence: str
) -> None:
    path = tmp_path / "location"
    LocationTable.create(str(path), 64).close(clean=True)
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 4]))
    with pytest.raises(ShmError, match=sentence):
        LocationTable.attach(str(path))


def test_a_file_of_another_kind_or_layout_is_refused(tmp_path: Path) -> None:
    for name, kind, text, sentence in (
        ("kind", b"dialog", layout.TABLE_LAYOUT, "holds something else than location"),
        ("layout", b"location", "another", "another record layout"),
    ):
        arena = Arena.create(str(tmp_path / name), 8192)
        layout.write(arena, kind, text, (1,))
        arena.close()
        with pytest.raises(ShmError, match=sentence):
            LocationTable.attach(str(tmp_path / name))


def test_a_truncated_or_grown_file_is_refused(tmp_path: Path) -> None:
    for change in (-65_536, 4096):
        path = tmp_path / f"location{change}"
        LocationTable.create(str(path), 64).close()
        os.truncate(path, path.stat().st_size + change)
        with pytest.raises(ShmError, match="bytes instead of"):
            LocationTable.attach(str(path))


def test_geometry_must_be_what_this_program_would_plan(tmp_path: Path) -> None:
    geometry, size = layout.plan_table(64, 600)
    arena = Arena.create(str(tmp_path / "odd"), size)
    layout.write(arena, b"location", layout.TABLE_LAYOUT, (*geometry[:3], 1, *geometry[4:]))
    arena.close()
    with pytest.raises(ShmError, match="contradicts itself"):
        LocationTable.attach(str(tmp_path / "odd"))


def test_check_reads_a_table_beside_its_server_and_after_it(table: LocationTable) -> None:
    path = table.arena.path
    for number in range(30):
        put(table, b"k%d" % number, b"v", units=2)
    live = check(path)
    assert (live.in_use, live.records, live.units, live.faults) == (True, 30, 60, [])
    table.close()
    before = Path(path).read_bytes()
    idle = check(path)
    assert (idle.in_use, idle.records, idle.leaked, idle.ok) == (False, 30, 0, True)
    assert idle.free + idle.records == idle.slots
    assert Path(path).read_bytes() == before


def test_check_names_a_damaged_record(tmp_path: Path) -> None:
    path = tmp_path / "location"
    table = LocationTable.create(str(path), 64)
    put(table, b"alice", b"payload-to-damage")
    table.close()
    data = bytearray(path.read_bytes())
    data[data.index(b"payload-to-damage")] ^= 1
    path.write_bytes(data)
    report = check(str(path))
    assert not report.ok
    assert "damaged" in report.faults[0]


def test_one_damaged_record_does_not_cost_its_neighbours(tmp_path: Path) -> None:
    path = tmp_path / "location"
    table = LocationTable.create(str(path), 64, seed=7)
    keys = colliding(table, 5)
    for key in keys:
        put(table, key, b"value of " + key)
    table.close()
    data = bytearray(path.read_bytes())
    data[data.index(b"value of " + keys[2]) + 1] ^= 1
    path.write_bytes(data)
    again = LocationTable.attach(str(path))
    assert again.loaded == layout.Loaded(4, 1, 1, was_clean=False, same_boot=True)
    assert [again.snapshot(key)[0] is None for key in keys] == [False, False, True, False, False]
    again.close()


def test_records_behind_a_broken_link_are_found_again(tmp_path: Path) -> None:
    path = tmp_path / "location"
    table = LocationTable.create(str(path), 64, seed=7)
    keys = colliding(table, 5)
    for key in keys:
        put(table, key, b"value of " + key)
    bucket_at = table.bucket_at(table.hash_of(keys[0]))
    table.close()
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, bucket_at, 0xFFFFFFF0)
    path.write_bytes(data)
    again = LocationTable.attach(str(path))
    assert again.count == 5
    assert all(again.snapshot(key)[0] == b"value of " + key for key in keys)
    assert examine(again).ok
    again.close()


def test_the_scavenger_finds_nothing_in_a_healthy_table(make_table: Make) -> None:
    table = make_table(1000)
    for number in range(600):
        put(table, b"k%d" % number, bytes(number))
    for _ in range(10):
        assert scavenge(table, 500) == 0
    assert table.leaks_recovered == 0


def test_a_hundred_thousand_phones_cost_at_most_600_bytes_each(tmp_path: Path) -> None:
    table = LocationTable.create(str(tmp_path / "location"), 100_000, seed=7)
    payload = bytes(300)
    for number in range(100_000):
        assert table.commit(b"user%06d@example.com" % number, 0, payload, 1, 1)
    assert table.file_bytes <= 60_000_000
    assert table.used_bytes <= 45_000_000
    table.close()
