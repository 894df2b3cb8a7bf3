"""Sums that tell where two nodes differ, kept by one addition per change."""

from __future__ import annotations

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.cluster import digests
from proxy.cluster.digests import BUCKETS, Digests
from proxy.shm.mixing import mix

STAMPS = st.integers(0, 2**64 - 1)
CHANGES = st.lists(
    st.tuples(st.integers(1, 2), st.sampled_from([b"a", b"b", b"c"]), STAMPS, STAMPS), max_size=30
)


def summed(changes: list[tuple[int, bytes, int, int]]) -> Digests:
    made = Digests()
    for change in changes:
        made.note(*change)
    return made


@given(CHANGES)
def test_the_sums_are_those_of_what_is_there(changes: list[tuple[int, bytes, int, int]]) -> None:
    last = {(table, key): (table, key, live, dead) for table, key, live, dead in changes}
    walked = summed(changes)
    direct = summed(list(last.values())[::-1])
    assert walked.sums == direct.sums
    assert walked.root == direct.root == sum(array("Q", walked.sums)) % 2**64
    assert walked.count == sum(live != 0 for _, _, live, _ in last.values())
    assert walked.tombstones == sum(dead != 0 for _, _, _, dead in last.values())


def test_what_is_known_is_no_news() -> None:
    made = Digests()
    assert made.note(1, b"a", 5, 0)
    assert not made.note(1, b"a", 5, 0)
    assert made.note(1, b"a", 5, 6)
    assert made.note(1, b"a", 0, 6)
    assert made.note(1, b"a", 0, 0)
    assert not made.note(1, b"a", 0, 0)
    assert made.root == 0


def test_the_same_rest_is_known_until_somebody_else_had_a_word() -> None:
    made = Digests()
    assert made.note(1, b"a", 5, 0, 77) == digests.NEWS
    assert made.note(1, b"a", 6, 0, 77) == digests.SAME_REST
    assert made.note(1, b"a", 6, 0, 77) == 0
    assert made.note(1, b"a", 7, 0, 78) == digests.NEWS
    assert made.note(1, b"a", 8, 0) == digests.NEWS  # of a peer: who knows whether all have it
    assert made.note(1, b"a", 9, 0, 78) == digests.NEWS
    assert made.note(1, b"a", 0, 0) == digests.NEWS
    assert made.note(1, b"a", 9, 0, 78) == digests.NEWS


def test_one_difference_is_one_bucket() -> None:
    ours, theirs = Digests(), Digests()
    for number in range(500):
        ours.note(1, b"%d" % number, number + 1, 0)
        theirs.note(1, b"%d" % number, number + 1, 0)
    assert ours.differing(theirs.sums) == bytes(BUCKETS)
    theirs.note(1, b"77", 1, 0)
    wanted = ours.differing(theirs.sums)
    assert [bucket for bucket in range(BUCKETS) if wanted[bucket]] == [digests.bucket_of(1, b"77")]


def test_a_tombstone_makes_a_difference() -> None:
    ours, theirs = Digests(), Digests()
    ours.note(1, b"a", 0, 9)
    assert any(ours.differing(theirs.sums))


def test_sums_of_another_size_are_not_compared() -> None:
    for size in (0, 8 * BUCKETS - 1, 8 * BUCKETS + 8):
        with pytest.raises(ValueError, match=f"{size} bytes"):
            Digests().differing(bytes(size))


def test_keys_spread_over_the_buckets() -> None:
    filled = {
        digests.bucket_of(1, b"user%06d@example.com" % number) for number in range(4 * BUCKETS)
    }
    assert len(filled) > 0.95 * BUCKETS


def test_the_hashes_are_those_of_the_protocol() -> None:
    """Other implementations have to make the same (docs/replication.md)."""
    assert mix(0) == 0
    assert mix(1) == 0xB456BCFC34C2CB2C
    assert digests.hash_bytes(b"", 0) == mix(0xCBF29CE484222325)
    assert digests.hash_bytes(b"a", 0) == mix(0xAF63DC4C8601EC8C)
    assert digests.hash_bytes(b"", 1) == mix(0xCBF29CE484222325 ^ mix(1))
    assert digests.part_stamp(1, 2, 3) == mix(mix(3) ^ 2)


def test_a_table_is_not_taken_for_a_first_letter() -> None:
    hashes = {digests.hash_bytes(key, table) for table in range(8) for key in (b"a", b"b", b"c")}
    assert len(hashes) == 24


def test_everything_can_be_forgotten() -> None:
    made = summed([(1, b"a", 5, 6)])
    made.clear()
    assert (made.root, made.count, made.tombstones, set(made.sums)) == (0, 0, 0, {0})
