"""Tags, counts, who takes part, and what is old enough to be forgotten."""

from __future__ import annotations

from proxy.cluster.counts import PROFILE
from proxy.cluster.link import State
from proxy.cluster.replication import Replication
from proxy.cluster.settings import Pace, Settings
from tests.simulation.store import DESTINATIONS
from tests.unit.cluster.trio import WALL, Trio


def test_a_tag_moves_to_whom_it_is_given(pair: Trio) -> None:
    one, two = pair.brains[1], pair.brains[2]
    assert not one.tags.acts("vip")
    one.activate("vip", pair.now, WALL + pair.now)
    pair.run(20)
    assert one.tags.acts("vip")
    two.activate("vip", pair.now, WALL + pair.now)
    pair.run(20)
    assert (one.tags.acts("vip"), two.tags.acts("vip")) == (False, True)
    two.step_down("vip", pair.now, WALL + pair.now)
    pair.run(20)
    assert one.tags.get("vip").holder == 0


def test_a_node_that_was_started_anew_is_backup(pair: Trio) -> None:
    pair.brains[1].activate("vip", pair.now, WALL + pair.now)
    pair.run(300)
    again = pair.boot(1, keep_tables=True)
    pair.run(1000)
    assert not again.tags.acts("vip")
    assert pair.brains[2].tags.get("vip").holder == 0


def test_counts_are_summed_and_end_with_their_node(pair: Trio) -> None:
    for number in (1, 2):
        pair.brains[number].counts.put(PROFILE, b"trunk", number)
    pair.run(500)
    assert pair.brains[1].counts.total(PROFILE, b"trunk", pair.now) == 3
    del pair.brains[2]
    pair.run(10_300, 50)
    assert pair.brains[1].counts.total(PROFILE, b"trunk", pair.now) == 1


def test_who_says_good_bye_is_not_waited_for(pair: Trio) -> None:
    pair.brains[2].counts.put(PROFILE, b"trunk", 2)
    pair.run(500)
    pair.brains[2].leave()
    for hop, _, data in pair.brains.pop(2).ready():
        pair.carry(2, hop, data)
    pair.run(20)
    assert pair.brains[1].links[2].following.state == State.DOWN
    assert pair.brains[1].counts.total(PROFILE, b"trunk", pair.now) == 0


def test_a_node_that_was_taken_out_neither_sends_nor_takes(pair: Trio) -> None:
    pair.brains[2].set_enabled(False)
    pair.run(500)
    pair.put(1, b"call")
    pair.put(2, b"other")
    pair.run(500)
    assert not pair.holds(2, b"call")
    assert not pair.holds(1, b"other")
    pair.brains[2].set_enabled(True)
    pair.run(1000)
    assert pair.holds(2, b"call")
    assert pair.holds(1, b"other")


def test_a_capability_that_was_taken_out_catches_up(pair: Trio) -> None:
    pair.brains[2].set_capability(DESTINATIONS, False, pair.now)
    pair.put(1, b"call")
    pair.run(100)
    assert not pair.holds(2, b"call")
    pair.brains[2].set_capability(DESTINATIONS, True, pair.now)
    pair.run(500)
    assert pair.holds(2, b"call")


def test_tombstones_stay_until_everybody_has_them(pair: Trio) -> None:
    pace = Pace(longest_life_s=0, tombstone_least_s=1)
    trio = Trio(3, pace=pace, max_lead_ms=100)
    trio.run(7000)
    del trio.brains[3]
    trio.run(2000)
    trio.put(1, b"call", None)
    made = trio.now
    trio.run(5000, 50)
    replication: Replication = trio.brains[1].replication
    version = (WALL + made) << 16
    assert replication.tombstones_before(WALL + trio.now) < version
    trio.boot(3)
    trio.run(4000, 50)
    assert replication.tombstones_before(WALL + trio.now) > version


def test_what_lives_for_a_time_needs_its_tombstones_no_longer(pair: Trio) -> None:
    replication = pair.brains[1].replication
    wall = WALL + 10**8
    before = replication.tombstones_before(wall) >> 16
    assert wall - before == 1000 * (7200 + 5) + 2 * 60_000


def test_grace_grows_with_the_difference_of_clocks(pair: Trio) -> None:
    replication = pair.brains[1].replication
    assert replication.grace_s(2) == 5
    pair.brains[1].membership.peers[2].offset_ms = -3_200
    assert replication.grace_s(2) == 5 + 7
    assert replication.grace_s(99) == 5 + 7


def test_settings_are_checked() -> None:
    assert Settings(node=1, peers=(2, 3)).mistakes() == []
    for wrong in (
        Settings(node=0),
        Settings(node=65_536),
        Settings(node=1, peers=(1,)),
        Settings(node=1, peers=(2, 2)),
        Settings(node=1, peers=tuple(range(2, 66))),
        Settings(node=1, tags=tuple(f"t{n}" for n in range(65))),
        Settings(node=1, tags=("",)),
        Settings(node=1, tags=("x" * 65,)),
    ):
        assert len(wrong.mistakes()) == 1
