"""Who is there, and how each is reached."""

from __future__ import annotations

from proxy.cluster.membership import UNREACHABLE, Membership
from proxy.cluster.messages import Beat
from tests.unit.cluster.trio import Trio


def beat(*neighbours: tuple[int, bool], wall: int = 0, enabled: bool = True) -> Beat:
    return Beat(wall, 0, 0, 0, True, False, 0, enabled, neighbours, ())


def members(rerouting: bool = True) -> Membership:
    return Membership(1, (4, 3, 2), 1500, rerouting)


def test_who_is_silent_is_not_heard() -> None:
    known = members()
    known.hear(2, 1, beat((1, True)), 1000, 0)
    assert known.hears(2, 2499)
    assert not known.hears(2, 2500)
    assert not known.hears(3, 0)


def test_a_way_needs_both_directions() -> None:
    known = members()
    known.hear(2, 1, beat(), 0, 0)
    assert known.neighbours(0) == ((2, False),)
    assert known.next_hop(2, 0) == UNREACHABLE
    known.hear(2, 1, beat((1, False)), 10, 0)
    assert known.neighbours(10) == ((2, True),)
    assert known.next_hop(2, 10) == 2


def test_the_lowest_node_that_reaches_another_is_its_next_hop() -> None:
    known = members()
    known.hear(4, 1, beat((1, True), (2, True)), 0, 0)
    known.hear(3, 1, beat((1, True), (2, True)), 0, 0)
    assert known.next_hop(2, 0) == 3
    known.hear(3, 1, beat((1, True), (2, False)), 0, 0)
    assert known.next_hop(2, 0) == 4
    assert known.next_hop(2, 1500) == UNREACHABLE
    assert known.next_hop(9, 0) == UNREACHABLE


def test_without_rerouting_there_is_only_the_direct_way() -> None:
    known = members(rerouting=False)
    known.hear(3, 1, beat((1, True), (2, True)), 0, 0)
    assert known.next_hop(2, 0) == UNREACHABLE
    assert known.next_hop(3, 0) == 3


def test_who_leaves_is_forgotten_at_once() -> None:
    known = members()
    known.hear(2, 1, beat((1, True)), 0, 0)
    known.forget(2)
    assert not known.hears(2, 1)


def test_clocks_are_compared() -> None:
    known = members()
    known.hear(2, 1, beat(wall=5_000), 0, 8_000)
    known.hear(3, 1, beat(wall=8_100), 0, 8_000)
    assert known.peers[2].offset_ms == -3_000
    assert (known.worst_offset_ms(3), known.worst_offset_ms(77)) == (100, 3_000)


def test_a_node_takes_part_until_it_says_otherwise() -> None:
    known = members()
    assert known.is_enabled(2)
    known.hear(2, 1, beat(enabled=False), 0, 0)
    assert not known.is_enabled(2)


def test_who_is_heard_anew_is_told_so_at_once() -> None:
    pair = Trio()
    pair.run(20)
    assert all(brain.membership.is_mutual(3 - n, pair.now) for n, brain in pair.brains.items())
