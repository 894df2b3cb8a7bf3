from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shm_family import family, killed_at, run, spawn

from proxy.errors import ShmError
from proxy.shm.change_reader import PATIENCE_MS, Change, ChangeReader, change_of
from proxy.shm.changes import LONGEST_KEY, OVERRUN, WAITING, ChangeRing
from proxy.shm.location_table import LocationTable
from proxy.shm.repair import scavenge

Make = Callable[..., LocationTable]
TABLE = 1


def everything(reader: ChangeReader, now_ms: int = 0) -> list[Change]:
    return reader.take(1_000_000, now_ms)


@pytest.fixture
def ring() -> ChangeRing:
    return ChangeRing.create(units=64)


def test_a_note_of_our_own_is_passed_if_it_is_the_next() -> None:
    ring = ChangeRing.create()
    reader = ChangeReader(ring)
    for key in (b"k", b"k" * 48, b"k" * 49, b"k" * 1_000):
        assert reader.pass_own(key, ring.note(1, key))
    assert reader.position == ring.head
    ring.note(1, b"another's")
    ends = ring.note(1, b"k")
    assert not reader.pass_own(b"k", ends)
    assert [change.key for change in reader.take(10, 0)] == [b"another's", b"k"]


def test_each_commit_is_noted_with_its_place(make_table: Make, ring: ChangeRing) -> None:
    table, reader = make_table(), ChangeReader(ring)
    table.commit(b"before", 0, b"x", 0, 1)
    table.note_changes(ring, TABLE)
    table.commit(b"alice", 0, b"new", 0, 1)
    inserted_at = table.changed_at
    table.commit(b"alice", table.snapshot(b"alice")[1], b"newer", 0, 1)
    table.commit(b"alice", table.snapshot(b"alice")[1], None, 0, 0)
    assert everything(reader) == [change_of(TABLE, b"alice")] * 3
    assert inserted_at < table.changed_at == reader.position == ring.head


def test_what_commits_nothing_notes_nothing(make_table: Make, ring: ChangeRing) -> None:
    table = make_table()
    table.commit(b"alice", 0, b"x", 0, 1)
    table.note_changes(ring, TABLE)
    head = ring.head
    assert not table.commit(b"alice", 0, b"y", 0, 1)
    assert table.commit(b"nobody", 0, None, 0, 0)
    assert ring.head == head


@given(st.lists(st.binary(max_size=LONGEST_KEY), max_size=30))
@settings(deadline=None)
def test_keys_of_every_length_come_back(keys: list[bytes]) -> None:
    ring = ChangeRing.create(units=1024)
    reader = ChangeReader(ring)
    for key in keys:
        ring.note(TABLE, key)
    assert [change.key for change in everything(reader)] == keys
    assert not reader.overrun


def test_a_reader_goes_round_the_ring_as_often_as_it_likes(ring: ChangeRing) -> None:
    reader = ChangeReader(ring)
    for number in range(1_000):
        key = b"%d" % number * (1 + number % 40)
        ring.note(TABLE, key)
        assert everything(reader) == [change_of(TABLE, key)]


def test_a_limit_leaves_the_rest_for_later(ring: ChangeRing) -> None:
    reader = ChangeReader(ring)
    for number in range(10):
        ring.note(TABLE, b"%d" % number)
    assert len(reader.take(3, 0)) == 3
    assert [change.key for change in everything(reader)] == [b"%d" % n for n in range(3, 10)]


def test_who_falls_off_the_end_is_told_and_goes_on(ring: ChangeRing) -> None:
    reader = ChangeReader(ring)
    for number in range(65):
        ring.note(TABLE, b"%d" % number)
    assert everything(reader) == []
    assert reader.overrun
    reader.resume()
    ring.note(TABLE, b"next")
    assert everything(reader) == [change_of(TABLE, b"next")]


def test_a_key_too_long_for_a_note_makes_readers_compare_everything(ring: ChangeRing) -> None:
    reader = ChangeReader(ring)
    assert ring.note(TABLE, bytes(LONGEST_KEY + 1)) == ring.head
    everything(reader)
    assert reader.overrun
    reader.resume()
    assert not reader.overrun


def test_a_damaged_note_is_not_believed(ring: ChangeRing) -> None:
    reader = ChangeReader(ring)
    ring.note(TABLE, b"alice@example.com")
    at = 8192 + (reader.position % 64) * 64
    ring.arena.put(at + 20, b"\xff")
    assert everything(reader) == []
    assert reader.overrun


def test_an_unpublished_claim_is_waited_for_then_skipped(ring: ChangeRing) -> None:
    reader = ChangeReader(ring)
    assert killed_at(2, lambda: ring.note(TABLE, b"dying"))
    ring.note(TABLE, b"after")
    assert everything(reader, 0) == []
    assert everything(reader, PATIENCE_MS - 1) == []
    assert everything(reader, PATIENCE_MS) == [change_of(TABLE, b"after")]
    assert not reader.overrun


def test_a_writer_whose_claim_was_skipped_appends_anew(ring: ChangeRing) -> None:
    """The reader loses patience with a stopped writer at each of its stores in turn."""
    for store in range(1, 8):
        reader = ChangeReader(ring)
        first = ring.head
        ring.arena.claim_u64(4096, 1)  # what a stopped writer has done
        assert ring.read(first) == WAITING
        assert ring.skip(first)
        assert not ring.skip(first)
        ring.note(TABLE, b"n%d" % store)
        assert [change.key for change in everything(reader)] == [b"n%d" % store]


def test_a_death_at_any_store_of_a_commit_is_never_unnoticed(make_table: Make) -> None:
    """Whatever holds after a death, a reader that follows the notes knows it."""
    for key, before, after in (
        (b"alice", None, b"new"),
        (b"alice", b"old", b"new"),
        (b"alice", b"old", None),
        (b"long" * 60, b"old", b"new"),
    ):
        store, survived = 0, False
        table, ring = make_table(), ChangeRing.create(units=1024)
        table.note_changes(ring, TABLE)
        while not survived:
            store += 1
            table.commit(key, table.snapshot(key)[1], before, 0, 1)
            reader, known = ChangeReader(ring), table.snapshot(key)[0]
            survived = not killed_at(
                store, table.commit, key, table.snapshot(key)[1], after, 1000, 1
            )
            scavenge(table, 1)
            told = [*everything(reader), *everything(reader, PATIENCE_MS)]
            told += [change for now in range(2, 12) for change in reader.take(9, now * PATIENCE_MS)]
            assert not reader.overrun
            stripe = table.hash_of(key) & table.stripe_mask
            if table.snapshot(key)[0] != known:
                assert any(each.key == key or each.stripe == stripe for each in told)
            assert {change.key for change in told} <= {key, b""}
            assert reader.position == ring.head
        assert store > 10


def test_a_stripe_lists_its_records(make_table: Make) -> None:
    table = make_table(1_000)
    for number in range(500):
        table.commit(b"k%d" % number, 0, b"%d" % number, 0, 1)
    rows = [row for stripe in range(table.stripe_mask + 1) for row in table.scan_stripe(stripe)]
    assert sorted(rows) == sorted((b"k%d" % number, b"%d" % number) for number in range(500))


def test_many_writers_lose_nothing() -> None:
    ring = ChangeRing.create(units=65_536)
    readers = [ChangeReader(ring) for _ in range(2)]

    def write(writer: int) -> None:
        for number in range(3_000):
            ring.note(writer, b"%d" % number * (1 + number % 15))

    pids = [spawn(lambda writer=writer: write(writer)) for writer in range(4)]
    told: list[list[Change]] = [[], []]
    while pids:
        for mine, reader in zip(told, readers, strict=True):
            mine += reader.take(500, 0)
        pids = [pid for pid in pids if os.waitpid(pid, os.WNOHANG) == (0, 0)]
    for mine, reader in zip(told, readers, strict=True):
        mine += everything(reader)
        assert not reader.overrun
        for writer in range(4):
            keys = [change.key for change in mine if change.table == writer]
            assert keys == [b"%d" % number * (1 + number % 15) for number in range(3_000)]


def test_stopped_writers_and_a_fast_ring_never_pass_off_garbage(ring: ChangeRing) -> None:
    reader = ChangeReader(ring)

    def write() -> None:
        while True:
            ring.note(TABLE, b"x" * 90)

    with family(write, write) as pids:
        for turn in range(200):
            os.kill(pids[turn % 2], signal.SIGSTOP)
            for _ in range(50):
                assert all(change.key == b"x" * 90 for change in reader.take(64, turn))
                if reader.overrun:
                    reader.resume()
            os.kill(pids[turn % 2], signal.SIGCONT)


def test_sleeping_readers_are_seen(ring: ChangeRing) -> None:
    reader = ChangeReader(ring)
    assert not ring.sleeps(0)
    assert ring.announce_sleep(0, reader.position)
    assert ring.sleeps(0)
    assert not ring.sleeps(1)
    ring.awake(0)
    assert run(lambda: ring.note(TABLE, b"k")) == 0
    assert not ring.announce_sleep(0, reader.position)
    assert not ring.sleeps(0)
    ring.set_done(0, 77)
    assert (ring.done(0), ring.done(1)) == (77, 0)


def test_what_is_not_possible_is_refused(ring: ChangeRing) -> None:
    with pytest.raises(ShmError, match="power of two"):
        ChangeRing.create(units=100)
    with pytest.raises(ShmError, match="no reader 4"):
        ring.done(4)
    first = ring.head
    for _ in range(65):
        ring.note(TABLE, b"k")
    assert ring.read(first) == OVERRUN
