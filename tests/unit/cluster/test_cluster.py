"""A cluster's nodes, frame by frame."""

from __future__ import annotations

import pytest

from proxy.cluster.frames import Frame, encode
from proxy.cluster.link import State
from proxy.cluster.messages import Hello, Kind, SnapshotEnd
from proxy.errors import TableFull
from tests.simulation.store import DESTINATIONS, MemoryStore
from tests.unit.cluster.trio import WALL, Trio, everything


def test_a_change_is_on_the_other_node_at_once(pair: Trio) -> None:
    pair.put(1, b"call")
    pair.run(20)
    assert pair.holds(2, b"call")


def test_what_came_from_a_peer_is_not_sent_on() -> None:
    trio = Trio(3)
    trio.run(7000)
    trio.frames.clear()
    trio.put(1, b"call")
    trio.run(500)
    assert trio.holds(2, b"call")
    assert trio.holds(3, b"call")
    assert len(trio.sent(Kind.DATA, 1)) == 2
    assert not trio.sent(Kind.DATA, 2)
    assert not trio.sent(Kind.DATA, 3)


def test_a_hot_record_is_sent_once(pair: Trio) -> None:
    for _ in range(100):
        pair.put(1, b"call")
    pair.put(1, b"other")
    pair.run(10)
    data = pair.sent(Kind.DATA, 1)
    assert len(data) == 1
    assert data[0].body[8:12] == (2).to_bytes(4, "little")


def test_it_is_acknowledged_after_the_commit(pair: Trio) -> None:
    store = pair.stores[2]
    order: list[str] = []
    store.watch = lambda *change: order.append("commit")
    pair.keep = lambda s, t, frame: order.append(Kind(frame.kind).name) is None
    pair.put(1, b"call")
    pair.run(20)
    assert [what for what in order if what in ("commit", "ACK")] == ["commit", "ACK"]


def test_a_lost_frame_is_sent_again(pair: Trio) -> None:
    lost: list[Frame] = []

    def once(source: int, target: int, frame: Frame) -> bool:
        if frame.kind == Kind.DATA and not lost:
            lost.append(frame)
            return False
        return True

    pair.keep = once
    pair.put(1, b"first")
    pair.run(10)
    pair.put(1, b"second")
    pair.run(500)
    assert lost
    assert pair.holds(2, b"first")
    assert pair.holds(2, b"second")
    assert pair.brains[2].comparison.is_synced()


def test_what_lies_behind_a_gap_is_not_taken(pair: Trio) -> None:
    pair.keep = lambda s, t, frame: frame.kind != Kind.DATA
    pair.put(1, b"first")
    pair.run(10)
    pair.keep = lambda s, t, frame: frame.kind not in (Kind.ACK, Kind.WELCOME)
    pair.put(1, b"second")
    pair.run(10)
    assert not pair.holds(2, b"second")
    assert pair.brains[2].wire.tallies["gaps"] == 1


def test_no_more_than_the_credit_is_under_way() -> None:
    pair = Trio(window=3)
    pair.run(7000)
    pair.frames.clear()
    pair.keep = lambda s, t, frame: frame.kind != Kind.ACK
    for number in range(40):
        pair.put(1, b"call%d" % number)
        pair.run(10)
        if pair.now > 7000 + 350:
            break
    assert len(pair.sent(Kind.DATA, 1)) == 3


def test_a_failed_node_is_noticed_within_two_seconds(pair: Trio) -> None:
    del pair.brains[2]
    pair.run(1750)
    assert pair.brains[1].links[2].following.state == State.DOWN
    assert ("node down", "node 2") in pair.brains[1].events()


def test_beats_go_out_whatever_else_does(pair: Trio) -> None:
    for number in range(200):
        pair.put(1, b"call%d" % number)
        pair.run(10)
    assert len(pair.sent(Kind.BEAT, 1)) >= 7


def test_a_short_absence_is_resumed_without_a_snapshot(pair: Trio) -> None:
    pair.keep = lambda *way: False
    pair.put(1, b"call")
    pair.run(2000)
    assert pair.brains[2].links[1].following.state == State.DOWN
    pair.keep = lambda *way: True
    pair.run(1000)
    assert pair.holds(2, b"call")
    assert not pair.sent(Kind.SNAPSHOT)
    assert pair.brains[2].comparison.is_synced()


def test_who_is_too_far_behind_compares() -> None:
    pair = Trio(backlog=8)
    pair.run(7000)
    pair.keep = lambda *way: False
    for number in range(20):
        pair.put(1, b"call%d" % number)
        pair.run(100)
    pair.keep = lambda *way: True
    pair.run(1500)
    assert all(pair.holds(2, b"call%d" % number) for number in range(20))
    assert pair.sent(Kind.SNAPSHOT, 1)
    assert pair.brains[2].comparison.is_synced()


def test_an_overrun_of_the_ring_is_repaired(pair: Trio) -> None:
    pair.stores[1].ring = 4
    for number in range(20):
        pair.put(1, b"call%d" % number)
    pair.run(1500)
    assert all(pair.holds(2, b"call%d" % number) for number in range(20))
    assert pair.brains[1].replication.digests.root == pair.brains[2].replication.digests.root
    assert pair.brains[1].wire.tallies["overruns"] == 1


def test_what_was_silently_lost_is_found(pair: Trio) -> None:
    pair.put(1, b"call")
    pair.run(20)
    del pair.stores[2].records[DESTINATIONS, b"call"]
    pair.stores[2].notes.append((DESTINATIONS, b"call"))
    pair.run(31_000, 50)
    assert pair.holds(2, b"call")
    assert pair.brains[2].comparison.last["new"] == 1


def test_an_empty_node_gets_everything_and_says_so() -> None:
    pair = Trio()
    del pair.brains[2]
    for number in range(700):
        pair.put(1, b"call%d" % number)
    pair.run(6000)
    pair.boot(2)
    assert not pair.brains[2].comparison.is_synced()
    assert "just started" in pair.brains[2].comparison.why()
    pair.run(1000)
    assert len(pair.stores[2].records) == 700
    assert pair.brains[2].comparison.why() == "synced: by a snapshot of node 1, 700 records"


@pytest.mark.parametrize("lie", ["records", "digest"])
def test_a_snapshot_that_does_not_match_is_not_whole(lie: str) -> None:
    pair = Trio()
    del pair.brains[2]
    pair.put(1, b"call")
    pair.run(6000)
    joiner = pair.boot(2)
    genuine = joiner._handlers[Kind.SNAPSHOT_END]

    def altered(link: object, frame: Frame, now: int, wall: int) -> None:
        end = SnapshotEnd.decode(frame.body)
        frame.body = end._replace(**{lie: getattr(end, lie) + 1}).encode()
        genuine(link, frame, now, wall)  # type: ignore[arg-type]

    joiner._handlers[Kind.SNAPSHOT_END] = altered
    pair.run(1000)
    assert pair.holds(2, b"call")
    assert not joiner.comparison.is_synced()
    assert joiner.wire.tallies["snapshots_failed"] >= 1
    joiner._handlers[Kind.SNAPSHOT_END] = genuine
    pair.run(1500)
    assert joiner.comparison.is_synced()


def test_one_snapshot_at_a_time_is_given() -> None:
    trio = Trio(3)
    del trio.brains[2], trio.brains[3]
    for number in range(3000):
        trio.put(1, b"call%d" % number, bytes(100))
    trio.run(6000)
    trio.boot(2)
    trio.boot(3)
    trio.run(4000, 2)
    assert trio.sent(Kind.SYNC_LATER, 1)
    for number in (2, 3):
        assert len(trio.stores[number].records) == 3000
        assert trio.brains[number].comparison.is_synced()


def test_a_snapshot_ends_under_writes() -> None:
    pair = Trio()
    del pair.brains[2]
    for number in range(1000):
        pair.put(1, b"call%d" % number, bytes(100))
    pair.run(6000)
    joiner = pair.boot(2)
    for number in range(150):
        pair.put(1, b"call%d" % (number % 1000), b"fresh")
        pair.run(10)
    assert joiner.comparison.is_synced()
    pair.run(30)
    assert pair.stores[2].records == pair.stores[1].records


def test_without_seed_or_donor_nobody_is_synced() -> None:
    pair = Trio()
    pair.boot(1, seed=False)
    pair.run(20_000, 50)
    brain = pair.brains[1]
    assert not brain.comparison.is_synced()
    assert brain.comparison.why() == "not synced: no node is synced, and this one is not a seed"
    brain.comparison.declare("an operator said so")
    pair.run(1000)
    assert all(brain.comparison.is_synced() for brain in pair.brains.values())


def test_a_seed_waits_for_a_donor_first() -> None:
    pair = Trio()
    pair.run(4000)
    assert not pair.brains[1].comparison.is_synced()
    pair.run(1500)
    assert pair.brains[1].comparison.is_synced()


def test_a_single_node_is_synced() -> None:
    single = Trio(1)
    single.run(20)
    assert single.brains[1].comparison.is_synced()


def test_a_broken_link_is_gone_around() -> None:
    trio = Trio(3)
    trio.run(7000)
    trio.keep = lambda s, t, frame: {s, t} != {1, 2}
    trio.run(2500)
    trio.put(1, b"call")
    trio.run(100)
    assert trio.brains[1].links[2].next_hop == 3
    assert trio.holds(2, b"call")
    assert trio.brains[3].wire.tallies["relayed"] > 0
    assert trio.brains[1].comparison.is_synced()


def test_a_link_of_one_direction_is_none() -> None:
    trio = Trio(3, rerouting=False)
    trio.run(7000)
    trio.keep = lambda s, t, frame: (s, t) != (1, 2)
    trio.run(3500)
    assert trio.brains[1].links[2].next_hop == 0
    assert trio.brains[2].links[1].next_hop == 0
    assert trio.brains[1].links[3].next_hop == 3


def test_frames_of_an_older_incarnation_mean_nothing(pair: Trio) -> None:
    pair.put(1, b"call")
    pair.run(50)
    old = pair.sent(Kind.DATA, 1)
    pair.boot(1, keep_tables=True)
    pair.run(1000)
    position = pair.brains[2].links[1].following.position
    for frame in old:
        pair.brains[2].step(encode(frame), pair.now, WALL + pair.now)
    assert pair.brains[2].wire.tallies["stale_frames"] == len(old)
    assert pair.brains[2].links[1].following.position == position


def test_a_clock_far_ahead_is_not_followed_until_it_is_right(pair: Trio) -> None:
    pair.skew_ms[1] = 300_000
    pair.run(500)
    pair.put(1, b"call", later=300_000)
    pair.brains[1].activate("vip", pair.now, pair.wall(1))
    pair.run(1000)
    assert not pair.holds(2, b"call")
    assert "lead" in pair.brains[2].links[1].trouble
    assert pair.brains[2].tags.told() == []
    pair.skew_ms[1] = 0
    pair.run(3000)
    assert pair.holds(2, b"call")
    assert pair.brains[2].tags.told() == pair.brains[1].tags.told()
    pair.put(1, b"later", later=290_000)
    pair.run(100)
    assert pair.holds(2, b"later")


def test_a_quarantine_ends_when_what_is_in_it_came_another_way() -> None:
    """By a third node: nothing comes of the first any more, and nothing is missing."""
    trio = Trio(3)
    trio.run(7_000)
    trio.keep = lambda s, t, frame: (s, t) != (3, 2) or frame.kind != Kind.DATA
    trio.put(3, b"call")
    trio.run(100)
    brain = trio.brains[2]
    following = brain.links[3].following
    sent = [(DESTINATIONS, b"call", trio.stores[3].records[DESTINATIONS, b"call"])]
    assert brain.replication.apply(brain.links[3], sent, WALL - 2 * 3_600_000) == 0
    assert following.quarantine
    assert not brain.comparison.is_synced()
    assert brain.replication.apply(brain.links[1], sent, WALL) == 2
    trio.run(1_000)
    assert trio.holds(2, b"call")
    assert not following.quarantine
    assert brain.comparison.is_synced()


def test_versions_hours_ahead_are_nobodys_clock(pair: Trio) -> None:
    pair.put(1, b"call", later=3_700_000)
    pair.run(1000)
    assert not pair.holds(2, b"call")
    assert "lead" in pair.brains[2].links[1].trouble
    pair.run(110_000, 50)
    assert pair.holds(2, b"call")


def test_a_relayed_version_may_not_lead(pair: Trio) -> None:
    trio = Trio(3)
    trio.run(7000)
    trio.keep = lambda source, target, frame: {source, target} != {1, 2}
    trio.run(3000)
    trio.put(1, b"call", later=70_000)
    trio.run(1000)
    assert trio.holds(3, b"call")
    assert not trio.holds(2, b"call")


def test_a_full_table_is_said_and_not_silent(pair: Trio) -> None:
    store = pair.stores[2]
    apply = MemoryStore.apply

    def full(*arguments: object) -> None:
        raise TableFull("the table holds its 1 records")

    store.apply = full  # type: ignore[method-assign,assignment]
    pair.put(1, b"call")
    pair.run(100)
    brain = pair.brains[2]
    assert brain.wire.tallies["refused"] >= 1
    assert not brain.comparison.is_synced()
    assert "holds its 1 records" in brain.comparison.why()
    store.apply = apply.__get__(store)  # type: ignore[method-assign]
    pair.run(31_000, 50)
    assert pair.holds(2, b"call")
    assert brain.comparison.is_synced()


def test_nodes_with_other_tables_do_not_talk(pair: Trio) -> None:
    link = pair.brains[1].links[2]
    hello = Hello(1, 0, 0, 0, (1,)).encode()
    frame = Frame(Kind.HELLO, 1, 2, 1, pair.epochs[2], 0, hello)
    before = link.sending.sent
    pair.brains[1].step(encode(frame), pair.now, WALL)
    assert link.trouble == "it keeps the tables (1,) and we (1, 3)"
    assert link.sending.sent == before


def test_a_peer_that_was_forgotten_for_a_moment_gets_everything(pair: Trio) -> None:
    pair.put(1, b"before")
    pair.run(50)
    pair.brains[1].set_peers((), {})
    assert not pair.brains[1].links
    pair.put(1, b"meanwhile")
    pair.run(100)
    remember(pair)
    pair.run(3_000)
    pair.put(1, b"after")
    pair.run(100)
    assert pair.holds(2, b"meanwhile")
    assert pair.holds(2, b"after")
    assert pair.brains[1].replication.stable_ms > WALL + pair.now - 500
    assert all(brain.comparison.is_synced() for brain in pair.brains.values())


def remember(pair: Trio) -> None:
    """Node 2 is a peer again, so soon that it has not noticed anything."""
    pair.brains[1].set_peers((2,), {})
    pair.keep = lambda source, target, frame: (source, frame.kind) != (1, Kind.BEAT)
    pair.run(500)
    pair.keep = everything


def test_a_forgotten_peer_that_missed_nothing_need_not_compare(pair: Trio) -> None:
    pair.run(8_000)
    compared = pair.brains[2].wire.tallies["snapshots"]
    pair.brains[1].set_peers((), {})
    remember(pair)
    pair.run(2_000)
    assert pair.brains[1].wire.tallies["reminders"] == 1
    assert pair.brains[1].links[2].sending.whole
    assert pair.brains[2].wire.tallies["snapshots"] == compared


def test_a_capability_that_was_switched_off_catches_up(pair: Trio) -> None:
    pair.run(8_000)
    pair.brains[1].set_capability(DESTINATIONS, False, pair.now)
    pair.put(1, b"here")
    pair.put(2, b"there")
    pair.run(500)
    assert not pair.holds(2, b"here")
    assert not pair.holds(1, b"there")
    pair.brains[1].set_capability(DESTINATIONS, True, pair.now)
    pair.run(3_000)
    assert pair.holds(2, b"here")
    assert pair.holds(1, b"there")


def test_an_operator_can_have_it_compared(pair: Trio) -> None:
    pair.run(8_000)
    before = pair.brains[2].wire.tallies["snapshots"]
    assert pair.brains[2].compare_now(pair.now)
    pair.run(500)
    assert pair.brains[2].wire.tallies["snapshots"] == before + 1
    pair.brains[2].set_peers((), {})
    assert not pair.brains[2].compare_now(pair.now)


def test_of_two_ways_the_one_of_lower_priority_is_taken() -> None:
    trio = Trio(4)
    trio.keep = lambda source, target, frame: {source, target} != {1, 4}
    trio.run(3_000)
    assert trio.brains[1].links[4].next_hop == 2
    trio.brains[1].set_peers((2, 3, 4), {2: 90, 3: 10})
    trio.run(500)
    assert trio.brains[1].links[4].next_hop == 3
