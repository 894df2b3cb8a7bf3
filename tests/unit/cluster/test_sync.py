"""Snapshots: whom to ask, what is in them, when they are whole."""

from __future__ import annotations

from proxy.cluster import digests
from proxy.cluster.frames import decode_records
from proxy.cluster.merge import make
from proxy.cluster.messages import SnapshotEnd
from proxy.cluster.sync import FRAMES_PER_TURN, Pull, Serving, choose_donor
from proxy.limits import bounds
from tests.simulation.store import DESTINATIONS, MemoryStore

EVERYTHING = b"\x01" * digests.BUCKETS


def store_of(count: int, size: int = 10) -> MemoryStore:
    store = MemoryStore(10)
    for number in range(count):
        store.records[DESTINATIONS, b"call%d" % number] = make(1, 1, bytes(size))
    return store


def drained(serving: Serving, store: MemoryStore, pull: Pull) -> Pull:
    while not serving.is_over:
        for number, body in serving.fill(store, 4):
            assert len(body) < bounds.FRAME_BYTES
            assert pull.take(number, decode_records(body, 8), 0)
        assert len(serving.under_way) <= 4
        serving.acknowledge(pull.expected, 0)
    return pull


def test_a_snapshot_of_everything_is_everything() -> None:
    store = store_of(1500)
    serving = Serving(2, 7, EVERYTHING, 0)
    pull = drained(serving, store, Pull(1, 7, True, 0, 0))
    assert pull.count == 1500
    assert serving.end == SnapshotEnd(7, 1500, pull.digest)
    assert serving.end is not None
    assert pull.is_whole(serving.number, serving.end)
    assert not pull.is_whole(serving.number + 1, serving.end)


def test_large_records_make_small_batches() -> None:
    serving = Serving(2, 7, EVERYTHING, 0)
    frames = serving.fill(store_of(10, 40_000), 4)
    assert [len(decode_records(body, 8)) for _, body in frames] == [1] * FRAMES_PER_TURN


def test_only_what_differs_is_sent() -> None:
    store = store_of(1500)
    bucket = digests.bucket_of(DESTINATIONS, b"call3")
    wanted = bytearray(digests.BUCKETS)
    wanted[bucket] = 1
    serving = Serving(2, 7, bytes(wanted), 0)
    pull = drained(serving, store, Pull(1, 7, True, 0, 0))
    here = sum(digests.bucket_of(table, key) == bucket for table, key in store.records)
    assert pull.count == here
    assert 1 <= here < 20


def test_a_snapshot_of_nothing_ends_at_once() -> None:
    serving = Serving(2, 7, bytes(digests.BUCKETS), 0)
    assert serving.fill(store_of(5), 4) == []
    assert serving.end == SnapshotEnd(7, 0, 0)


def test_frames_are_taken_in_order_only() -> None:
    pull = Pull(1, 7, True, 0, 0)
    assert not pull.take(1, [], 0)
    assert pull.take(0, [], 0)
    assert not pull.take(0, [], 0)
    assert pull.expected == 1


def test_joiners_ask_the_synced_node_with_the_least_to_do() -> None:
    assert choose_donor(9, [1, 2], {2, 3}, {2: 1, 3: 0}, False) == 3
    assert choose_donor(9, [1, 2], set(), {}, False) in (1, 2)
    assert choose_donor(9, [], set(), {}, False) == 0


def test_joiners_spread() -> None:
    assert {choose_donor(node, [], {1, 2, 3}, {}, False) for node in (4, 5, 6)} == {1, 2, 3}


def test_with_a_baseline_it_asks_those_it_lacks_something_of() -> None:
    assert choose_donor(9, [5], {2, 3}, {}, True) == 5
    assert choose_donor(9, [], {2, 3}, {}, True) == 0
