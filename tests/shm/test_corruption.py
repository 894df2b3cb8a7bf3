"""Files that somebody else has written into: a valid subset is loaded, or a sentence refuses."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from shm_family import run

from proxy.errors import ShmError
from proxy.shm.location_table import LocationTable
from proxy.shm.repair import check, examine, scavenge

CASES = int(os.environ.get("SIPHERD_SHM_CORRUPTIONS", "500"))
EXPECTED = {b"user%d@example.com" % n: b"record of %d " % n * (1 + n % 60) for n in range(300)}


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, int]:
    path = tmp_path_factory.mktemp("healthy") / "location"
    table = LocationTable.create(str(path), 512, seed=11)
    for key, payload in EXPECTED.items():
        assert table.commit(key, 0, payload, 1000, 1)
    used = table.used_bytes
    table.close(clean=True)
    return path.read_bytes(), used


def damage(data: bytearray, source: random.Random, used: int) -> None:
    kind = source.randrange(4)
    # Half of the damage goes where links and owners are, which is where it hurts.
    where = source.randrange(used if source.random() < 0.5 else 90_000)
    if kind == 0:
        data[where] ^= 1 << source.randrange(8)
    elif kind == 1:
        length = source.randrange(1, 4096)
        data[where : where + length] = source.randbytes(length)
    elif kind == 2:
        length = source.randrange(1, 4096)
        data[where : where + length] = bytes(length)
    else:  # a piece of the file over another piece: everything looks plausible
        length = source.randrange(4, 512) & ~3
        origin = source.randrange(used - 512) & ~3
        data[where & ~3 : (where & ~3) + length] = data[origin : origin + length]


def use(table: LocationTable) -> None:
    """Whatever was loaded is true, and the table works."""
    rows: list[tuple[bytes, bytes]] = []
    cursor = 0
    while True:
        found, cursor = table.scan(cursor, 100)
        rows += found
        if cursor == 0:
            break
    assert len(rows) == len(dict(rows)) == table.count
    assert dict(rows).items() <= EXPECTED.items()
    for key, payload in rows:
        assert table.snapshot(key)[0] == payload
    for key in EXPECTED:
        assert table.commit(key, table.snapshot(key)[1], b"renewed" * 40, 1, 1)
    report = examine(table)
    assert (report.faults, report.leaked, report.records) == ([], 0, len(EXPECTED))
    assert report.free + report.records == report.slots


def test_damaged_files_load_what_is_true_or_are_refused(
    healthy: tuple[bytes, int], tmp_path: Path
) -> None:
    """In children, 50 files each: a crash of the loader is a failure here, not the end."""
    original, used = healthy
    kept_some = tmp_path / "kept"

    def batch(first: int) -> None:
        path = tmp_path / f"location-{first}"
        for seed in range(first, min(first + 50, CASES)):
            source = random.Random(seed)
            data = bytearray(original)
            for _ in range(source.choice((1, 1, 5, 100))):
                damage(data, source, used)
            del data[len(original) :]
            path.write_bytes(data)
            try:
                check(str(path))
                table = LocationTable.attach(str(path))
            except ShmError as error:
                if str(path) not in str(error):
                    raise
                continue
            kept_some.touch()
            use(table)
            table.close()

    for first in range(0, CASES, 50):
        assert run(lambda first=first: batch(first)) == 0, f"seeds from {first}"
    assert kept_some.exists()


def test_a_flipped_bit_costs_one_record_at_most(healthy: tuple[bytes, int], tmp_path: Path) -> None:
    original, used = healthy
    path = tmp_path / "location"
    source = random.Random(5)
    for _ in range(40):
        data = bytearray(original)
        first_page = used - used % 65_536 + 4096
        data[source.randrange(min(first_page, used), used)] ^= 1 << source.randrange(8)
        path.write_bytes(data)
        table = LocationTable.attach(str(path))
        assert table.count >= len(EXPECTED) - 1
        table.close()


@pytest.mark.parametrize("length", [0, 1, 4095, 4096, 4097, 65_536, 1_000_000])
def test_truncated_files_are_refused(
    healthy: tuple[bytes, int], tmp_path: Path, length: int
) -> None:
    path = tmp_path / "location"
    path.write_bytes(healthy[0][:length])
    for opening in (LocationTable.attach, check):
        with pytest.raises(ShmError):
            opening(str(path))


def test_damage_at_run_time_is_met_without_a_crash(
    healthy: tuple[bytes, int], tmp_path: Path
) -> None:
    """A stray store into a live table: operations answer or raise ShmError, repair restores."""
    original, used = healthy

    def batch(first: int) -> None:
        for seed in range(first, first + 10):
            path = tmp_path / f"live-{seed}"
            path.write_bytes(original)
            table = LocationTable.attach(str(path))
            table.arena.lock_wait_ns = 1_000_000
            source = random.Random(seed)
            pages_at = table.slabs.pages_at
            for _ in range(20):
                at = source.randrange(pages_at // 4, used // 4) * 4
                table.arena.put_u32(at, source.randrange(1 << 32))
            for key in EXPECTED:
                try:
                    table.snapshot(key)
                    table.commit(key, table.snapshot(key)[1], b"renewed" * 40, 1, 1)
                except ShmError:
                    pass
            table.scan(0, 1000)
            table.due(5000, 0, 1000)
            scavenge(table, 100_000)
            examine(table)
            table.close()
            again = LocationTable.attach(str(path))
            assert examine(again).ok
            again.close()
            path.unlink()

    for first in range(0, 50, 10):
        assert run(lambda first=first: batch(first)) == 0, f"seeds from {first}"
