from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from shm_family import run

from proxy.errors import ShmError
from proxy.shm.shards import Shards
from proxy.shm.slots import ProcessRow, ProcessSlots


def test_a_row_is_claimed_beats_and_is_released() -> None:
    slots = ProcessSlots.create(None, 4, 3)
    assert slots.live() == []
    slots.claim(2, 4242, "udp worker", 100, "1.0")
    slots.beat(2, 105)
    assert slots.live() == [ProcessRow(2, 4242, "udp worker", 100, 105, 1, "1.0")]
    slots.say_version(2, "1.1")
    assert slots.row(2).version == "1.1"
    slots.release(2)
    slots.claim(2, 4243, "a role whose name is much too long", 200, "1.2" * 11)
    version = "1.2" * 10 + "1."
    assert slots.row(2) == ProcessRow(2, 4243, "a role whose name is muc", 200, 200, 2, version)


def test_children_count_in_their_own_rows_and_anybody_sums() -> None:
    slots = ProcessSlots.create(None, 4, 3)

    def count(row: int) -> None:
        counters = slots.counters(row)
        for _ in range(1000):
            counters.add(1)
        counters.add(2, row)
        counters.add(0, -row)

    assert [run(lambda row=row: count(row)) for row in (0, 1, 3)] == [0, 0, 0]
    assert slots.totals() == [-4, 3000, 4]
    assert [slots.counters(row).get(1) for row in range(4)] == [1000, 1000, 0, 1000]


def test_a_replaced_worker_continues_its_row() -> None:
    slots = ProcessSlots.create(None, 2, 1)
    slots.counters(0).add(0, 5)
    slots.claim(0, 1, "udp worker", 1)
    slots.counters(0).add(0, 2)
    assert slots.total(0) == 7


def test_a_total_is_reset_without_touching_the_rows() -> None:
    slots = ProcessSlots.create(None, 2, 2)
    counters = slots.counters(1)
    counters.add(0, 5)
    counters.set(1, 9)
    slots.reset(0)
    assert slots.totals() == [0, 9]
    counters.add(0)
    assert (slots.total(0), counters.get(0)) == (1, 6)


def test_a_row_or_counter_that_is_not_there_is_an_error() -> None:
    slots = ProcessSlots.create(None, 2, 2)
    for access in (
        lambda: slots.counters(2),
        lambda: slots.row(2),
        lambda: slots.beat(2, 1),
        lambda: slots.claim(9, 1, "x", 1),
        lambda: slots.total(2),
        lambda: slots.counters(0).add(2),
        lambda: slots.counters(0).get(2),
        lambda: ProcessSlots.create(None, 0, 1),
    ):
        with pytest.raises(ShmError):
            access()


def test_slots_in_a_file_come_back(tmp_path: Path) -> None:
    path = str(tmp_path / "slots")
    slots = ProcessSlots.create(path, 2, 9, boot_id=b"boot")
    slots.counters(1).add(8, 3)
    slots.arena.close()
    assert ProcessSlots.attach(path).totals() == [0] * 8 + [3]


def test_every_shard_has_a_worker_and_all_have_about_as_many() -> None:
    for workers in (1, 2, 3, 7, 64):
        shards = Shards.create(None, workers)
        owners = Counter(shards.owner(hash32) for hash32 in range(1024))
        assert set(owners) == set(range(workers))
        assert max(owners.values()) - min(owners.values()) <= 1
        assert shards.owner(0xFFFFFFFF) == shards.owner(1023)


def test_shards_are_spread_over_others_and_a_copy_stays_as_it_is() -> None:
    shards = Shards.create(None, 2)
    before = shards.copy()
    shards.spread([5, 9, 70])
    owners = Counter(shards.owner(shard) for shard in range(1024))
    assert set(owners) == {5, 9, 70}
    assert max(owners.values()) - min(owners.values()) <= 1
    assert [before.owner(shard) for shard in range(4)] == [0, 1, 0, 1]


def test_a_shard_can_be_moved_and_comes_back_from_a_file(tmp_path: Path) -> None:
    path = str(tmp_path / "shards")
    shards = Shards.create(path, 2)
    shards.move(7, 1000)
    with pytest.raises(ShmError, match="no shard 1024"):
        shards.move(1024, 0)
    shards.arena.close()
    again = Shards.attach(path)
    assert (again.owner(7), again.owner(1031), again.count) == (1000, 1000, 1024)
