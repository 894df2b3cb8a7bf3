"""The cluster's counts: absolute, per node and incarnation."""

from __future__ import annotations

import pytest

from proxy.cluster.counts import PIPE, PROFILE, Counts
from proxy.limits import bounds


def heard(*told: tuple[int, int, int]) -> Counts:
    """Counts of node 2: (epoch, stamp, count) in the order of arrival."""
    counts = Counts(10_000)
    for epoch, stamp, count in told:
        counts.hear(2, epoch, stamp, [(PROFILE, b"a", count)], 0)
    return counts


def test_the_sum_is_over_nodes() -> None:
    counts = heard((1, 1, 3))
    counts.hear(3, 1, 1, [(PROFILE, b"a", 4), (PIPE, b"a", 100)], 0)
    counts.put(PROFILE, b"a", 1)
    assert counts.total(PROFILE, b"a", 0) == 8
    assert counts.total(PIPE, b"a", 0) == 100
    assert counts.total(PROFILE, b"unknown", 0) == 0


def test_the_later_count_holds_whatever_arrives_first() -> None:
    assert heard((1, 1, 3), (1, 2, 5)).total(PROFILE, b"a", 0) == 5
    assert heard((1, 2, 5), (1, 1, 3)).total(PROFILE, b"a", 0) == 5
    assert heard((1, 2, 5), (1, 2, 5)).total(PROFILE, b"a", 0) == 5


def test_a_new_incarnation_begins_at_nothing() -> None:
    counts = heard((1, 9, 5))
    counts.hear(2, 2, 1, [], 0)
    assert counts.total(PROFILE, b"a", 0) == 0
    counts.hear(2, 1, 10, [(PROFILE, b"a", 5)], 0)
    assert counts.total(PROFILE, b"a", 0) == 0


def test_what_is_not_repeated_ends() -> None:
    counts = heard((1, 1, 3))
    assert counts.total(PROFILE, b"a", 9_999) == 3
    assert counts.total(PROFILE, b"a", 10_000) == 0
    counts.sweep(10_000)
    assert counts.of(2, PROFILE, b"a", 0) == 0


def test_changes_are_told_once_and_all_when_asked() -> None:
    counts = Counts(10_000)
    counts.put(PROFILE, b"a", 2)
    counts.put(PROFILE, b"b", 1)
    counts.put(PROFILE, b"a", 3)
    assert counts.changed() == [(PROFILE, b"a", 3), (PROFILE, b"b", 1)]
    counts.put(PROFILE, b"a", 3)
    assert counts.changed() == []
    counts.put(PROFILE, b"b", 0)
    assert counts.changed() == [(PROFILE, b"b", 0)]
    assert counts.all_own() == [(PROFILE, b"b", 0), (PROFILE, b"a", 3)], "gone is told twice"
    assert counts.all_own() == [(PROFILE, b"a", 3)]
    counts.put(PROFILE, b"a", 0)
    assert counts.all_own() == [(PROFILE, b"a", 0)], "nothing that is pending gets lost"


def test_a_count_below_zero_is_a_mistake_of_ours() -> None:
    with pytest.raises(ValueError, match="below zero"):
        Counts(1).put(PROFILE, b"a", -1)


def test_a_peer_cannot_fill_our_memory() -> None:
    counts = Counts(10_000)
    told = [(PROFILE, b"%d" % number, 1) for number in range(bounds.COUNTS_PER_NODE + 1)]
    counts.hear(2, 1, 1, told, 0)
    assert counts.refused == 1
    assert counts.total(PROFILE, told[-1][1], 0) == 0
    counts.hear(2, 1, 2, [(PROFILE, b"0", 7)], 0)
    assert counts.total(PROFILE, b"0", 0) == 7


def test_a_node_can_be_dropped() -> None:
    counts = heard((1, 1, 3))
    counts.drop(2)
    counts.drop(77)
    assert counts.total(PROFILE, b"a", 0) == 0


def test_a_kind_that_is_switched_off_is_neither_told_nor_taken() -> None:
    counts = Counts(10_000)
    counts.put(PIPE, b"a", 5)
    counts.hear(2, 1, 1, [(PIPE, b"a", 3), (PROFILE, b"b", 4)], 0)
    counts.changed()
    counts.set_enabled(PIPE, False)
    assert counts.changed() == [(PIPE, b"a", 0)]
    counts.put(PIPE, b"a", 7)
    counts.hear(2, 1, 2, [(PIPE, b"a", 9)], 0)
    assert counts.total(PIPE, b"a", 0) == 0
    assert counts.total(PROFILE, b"b", 0) == 4
    counts.set_enabled(PIPE, True)
    counts.put(PIPE, b"a", 7)
    counts.hear(2, 1, 3, [(PIPE, b"a", 9)], 0)
    assert counts.total(PIPE, b"a", 0) == 16
