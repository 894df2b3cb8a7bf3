"""Registrations of two nodes over real tables: they agree, and nothing removed comes back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.cluster.store import LOST, Horizon
from proxy.errors import LockTimeout, TableFull
from proxy.registrar.binding import Binding, encode
from proxy.registrar.layout import REMOVED
from proxy.shm.location_table import LocationTable
from proxy.shm.table_ids import LOCATION
from tests.unit.workers.two_nodes import Pair
from workers.clusterer.location import LocationAdapter
from workers.clusterer.store import TableStore

A, B = b"<sip:alice@198.51.100.7>", b"<sip:alice@198.51.100.8>"
C = b"<sip:alice@198.51.100.9>"
URI_A, URI_B = A[1:-1], B[1:-1]
ALICE = b"alice@example.com"
AT_ONCE = Horizon(1, 0, 0, 0)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    pair = Pair(tmp_path)
    pair.run(7_000)
    yield pair
    pair.close()


def agree(pair: Pair) -> None:
    """Nothing is under way, and all nodes hold the same."""
    assert len(pair.roots()) == 1
    assert all(node.brain.comparison.is_synced() for node in pair.nodes.values())


def record(contact: bytes = URI_A, version: int = 5, flags: int = 0, expires: int = 0) -> bytes:
    made = Binding(contact, b"c", 1)
    made.version, made.origin, made.flags, made.expires = version, 2, flags, expires
    return encode([made])


# -- between two nodes -----------------------------------------------------------------------------


def test_a_registration_is_soon_at_the_other_node(pair: Pair) -> None:
    pair.register(1, b"alice", A)
    pair.run(20)
    assert pair.users(2) == {ALICE: [URI_A]}
    assert pair.nodes[2].table.gauges() == (1, 1)
    assert pair.nodes[2].table.expires_at(ALICE) == pair.nodes[1].table.expires_at(ALICE)
    agree(pair)


def test_both_nodes_contacts_are_one_record(pair: Pair) -> None:
    pair.register(1, b"alice", A)
    pair.register(2, b"alice", B)
    pair.run(50)
    assert pair.users(1) == pair.users(2) == {ALICE: [URI_A, URI_B]}
    agree(pair)


def test_a_change_that_a_peer_overtakes_is_told_all_the_same(pair: Pair) -> None:
    """Both in one record, and the peer's is taken before our own note of ours is read."""
    pair.register(1, b"alice", A)
    pair.run(50)
    pair.register(2, b"alice", B)
    pair.register(1, b"alice", A, expires=0)
    node = pair.nodes[1]
    node.brain.tick(pair.now + 1, pair.wall)
    for _, _, data in node.brain.ready():
        pair.carry(1, 2, data)
    pair.run(500)
    assert pair.users(1) == pair.users(2) == {ALICE: [URI_B]}
    agree(pair)


def test_what_was_applied_is_not_sent_on(pair: Pair) -> None:
    for number in range(20):
        pair.register(1, b"u%d" % number, A)
    pair.run(50)
    assert pair.nodes[2].brain.replication.backlog.head == 0
    assert pair.nodes[2].taken(100) == 0


@pytest.mark.parametrize("removed", [False, True])
def test_what_the_edge_made_meanwhile_is_told_with_what_came(pair: Pair, removed: bool) -> None:
    """A change here whose note has not been read when a peer's change of the same phone arrives."""
    pair.register(1, b"alice", A)
    pair.run(50)
    pair.register(2, b"alice", B)
    pair.held = []
    pair.run(20)
    if removed:
        pair.register(1, b"alice", A, expires=0)
    else:
        pair.register(1, b"alice", C)
    assert pair.release(), "it is here before our own note is read"
    stable = pair.nodes[1].brain.replication.stable_ms
    pair.run(50)
    expected = [URI_B] if removed else [URI_A, URI_B, C[1:-1]]
    assert pair.users(1) == pair.users(2) == {ALICE: expected}
    assert pair.nodes[1].brain.replication.stable_ms > stable
    agree(pair)


def test_a_removal_reaches_the_other_node(pair: Pair) -> None:
    pair.register(1, b"alice", A)
    pair.run(50)
    pair.register(2, b"alice", A, expires=0)
    pair.run(50)
    assert pair.users(1) == pair.users(2) == {}
    assert pair.nodes[1].table.gauges() == pair.nodes[2].table.gauges() == (0, 0)
    agree(pair)


@pytest.mark.parametrize("how", ["unregister", "star", "ul_rm", "ul_rm_contact"])
def test_a_late_registration_does_not_come_back(pair: Pair, how: str) -> None:
    """Registered at 2, removed at 1 before 1 has heard of it."""
    pair.register(1, b"alice", A)
    pair.run(50)
    pair.held = []
    pair.register(2, b"alice", A)  # a refresh, on its way
    pair.run(30)
    editor = pair.editor(1)
    if how == "unregister":
        pair.register(1, b"alice", A, expires=0)
    elif how == "star":
        pair.register(1, b"alice", b"*", expires=0)
    elif how == "ul_rm":
        assert editor.remove(ALICE, pair.wall)
    else:
        assert editor.remove_contact(ALICE, URI_A, pair.wall // 1_000, pair.wall)
    pair.run(30)
    assert pair.release()
    pair.run(500)
    assert pair.users(1) == pair.users(2) == {}
    agree(pair)


def test_a_contact_is_removed_where_nobody_has_heard_of_it(pair: Pair) -> None:
    pair.held = []
    pair.register(2, b"alice", A)
    pair.run(30)
    pair.register(1, b"alice", A, expires=0)
    pair.run(30)
    pair.release()
    pair.run(500)
    assert pair.users(1) == pair.users(2) == {}
    agree(pair)


@pytest.mark.parametrize("known", [0, 1])
def test_all_contacts_are_removed_where_not_all_have_been_heard_of(pair: Pair, known: int) -> None:
    if known:
        pair.register(1, b"alice", B)
        pair.run(50)
    pair.held = []
    pair.register(2, b"alice", A)
    pair.run(30)
    assert pair.users(1) == ({ALICE: [URI_B]} if known else {})
    pair.register(1, b"alice", b"*", expires=0)
    pair.run(30)
    pair.release()
    pair.run(500)
    assert pair.users(1) == pair.users(2) == {}
    agree(pair)
    pair.register(2, b"alice", A)
    pair.run(50)
    assert pair.users(1) == pair.users(2) == {ALICE: [URI_A]}
    agree(pair)


def test_a_node_that_was_away_brings_nothing_back(pair: Pair) -> None:
    pair.register(1, b"alice", A)
    pair.register(1, b"bob", B)
    pair.run(50)
    pair.cut = {2}
    pair.run(3_000)
    pair.register(1, b"alice", A, expires=0)
    pair.register(1, b"carol", B)
    pair.run(20 * 60_000, step_ms=200)
    for number in (1, 2):
        pair.sweep(number)
    assert pair.users(2) == {ALICE: [URI_A], b"bob@example.com": [URI_B]}
    pair.cut = set()
    pair.run(10_000)
    expected = {b"bob@example.com": [URI_B], b"carol@example.com": [URI_B]}
    assert pair.users(1) == pair.users(2) == expected
    agree(pair)


def test_a_restart_with_an_old_table_brings_nothing_back(pair: Pair) -> None:
    pair.register(2, b"alice", A)
    pair.run(50)
    pair.cut = {2}
    pair.nodes[2].restart(keep=True)
    pair.run(3_000)
    pair.register(1, b"alice", A, expires=0)
    pair.run(5_000)
    pair.boot(2)
    pair.cut = set()
    pair.run(10_000)
    assert pair.users(1) == pair.users(2) == {}
    agree(pair)


def test_a_restart_without_a_table_loses_nothing(pair: Pair) -> None:
    for number in range(200):
        pair.register(1 + number % 2, b"u%d" % number, A)
    pair.register(1, b"u0", A, expires=0)
    pair.run(100)
    pair.nodes[2].restart(keep=False)
    pair.boot(2)
    pair.run(10_000)
    assert len(pair.users(2)) == 199
    assert pair.users(1) == pair.users(2)
    agree(pair)


def test_a_killed_clusterer_begins_anew_and_nothing_is_missed(pair: Pair) -> None:
    pair.register(1, b"alice", A)
    pair.run(50)
    for number in range(50):
        pair.register(1, b"u%d" % number, A)  # noted, and nobody has read it
    pair.register(1, b"alice", A, expires=0)
    pair.boot(1)
    pair.run(10_000)
    assert len(pair.users(2)) == 50
    assert pair.users(1) == pair.users(2)
    agree(pair)


def test_a_ring_that_was_overrun(tmp_path: Path) -> None:
    pair = Pair(tmp_path, units=64)
    pair.run(7_000)
    for number in range(500):
        pair.register(1, b"u%d" % number, A)
    pair.register(1, b"u1", A, expires=0)
    pair.run(10_000)
    assert pair.nodes[1].brain.wire.tallies["overruns"] == 1
    assert len(pair.users(2)) == 499
    agree(pair)
    pair.close()


def test_tombstones_go_when_every_node_has_them(pair: Pair) -> None:
    pair.register(1, b"alice", A)
    pair.register(1, b"alice", A, expires=0)
    pair.run(50)
    pair.run(5 * 60_000, step_ms=100)
    pair.sweep(1)
    assert pair.nodes[1].table.count == 1
    pair.run(6 * 60_000, step_ms=100)
    pair.sweep(1)
    pair.sweep(2)
    assert pair.nodes[1].table.count == pair.nodes[2].table.count == 0
    pair.run(100)
    agree(pair)


def test_an_expiry_is_told_to_nobody(pair: Pair) -> None:
    pair.register(1, b"alice", A, expires=60)
    pair.run(61_000, step_ms=100)
    head = pair.nodes[1].brain.replication.backlog.head
    assert pair.sweep(1) == 1
    assert pair.sweep(2) == 0  # by our clock it ran out, its owner's may be behind
    pair.run(5_000, step_ms=100)
    assert pair.sweep(2) == 1
    pair.run(100)
    assert pair.nodes[1].brain.replication.backlog.head == head
    agree(pair)


# -- the store alone -------------------------------------------------------------------------------


def test_a_commit_on_the_way_is_merged_anew(pair: Pair) -> None:
    node = pair.nodes[1]

    class Overtaken(LocationAdapter):
        times = 3

        def commit(self, key: bytes, stamp: int, payload: bytes | None, body: bytes) -> bool:
            if self.times:
                self.times -= 1
                pair.register(1, b"alice", B)
            return super().commit(key, stamp, payload, body)

    adapter = Overtaken(node.table)
    store = TableStore(node.ring, [adapter])
    assert store.apply(LOCATION, ALICE, record(), AT_ONCE) is not None
    assert pair.users(1) == {ALICE: [URI_A, URI_B]}
    adapter.times = 1_000
    with pytest.raises(LockTimeout):
        store.apply(LOCATION, ALICE, record(version=9), AT_ONCE)


def test_a_full_table_keeps_what_it_has(tmp_path: Path) -> None:
    pair = Pair(tmp_path, nodes=1)
    small = LocationTable.create(str(tmp_path / "small.table"), 16)
    store = TableStore(pair.nodes[1].ring, [LocationAdapter(small)])
    for number in range(16):
        assert store.apply(LOCATION, b"u%d@example.com" % number, record(), AT_ONCE)
    kept = small.count
    with pytest.raises(TableFull):
        store.apply(LOCATION, b"one more", record(), AT_ONCE)
    assert store.apply(LOCATION, b"u0@example.com", record(version=6), AT_ONCE) is not None
    assert small.count == kept
    small.close()
    pair.close()


def test_a_table_that_is_full_at_the_peer_is_told(tmp_path: Path) -> None:
    pair = Pair(tmp_path)
    pair.run(7_000)
    for number in range(2_000):
        key = b"x%d@example.com" % number
        pair.nodes[2].table.commit(key, 0, record(flags=REMOVED, expires=1), 2**32 - 1, 1)
    pair.register(1, b"alice", A)
    pair.run(200)
    assert pair.nodes[2].brain.wire.tallies["refused"]
    assert "2000" in pair.nodes[2].brain.links[1].trouble
    assert not pair.nodes[2].brain.comparison.is_synced()
    pair.close()


def test_what_cannot_be_read_is_replaced(pair: Pair) -> None:
    table = pair.nodes[1].table
    table.commit(ALICE, 0, b"garbage", 0, 1)
    assert pair.nodes[1].store.apply(LOCATION, ALICE, record(), AT_ONCE) == record()
    assert table.gauges() == (1, 1)


def test_units_and_due_of_what_is_applied(pair: Pair) -> None:
    node = pair.nodes[1]
    node.store.apply(LOCATION, ALICE, record(expires=77), Horizon(1, 10, 0, 0))
    assert (node.table.gauges(), node.table.expires_at(ALICE)) == ((1, 1), 77)
    gone = record(version=600_000 << 16, flags=REMOVED, expires=1)
    node.store.apply(LOCATION, ALICE, gone, Horizon(1, 10, 0, 0))
    assert (node.table.gauges(), node.table.expires_at(ALICE)) == ((0, 0), 1_200)


def test_a_scan_gives_everything_once(pair: Pair) -> None:
    for number in range(300):
        pair.register(1, b"u%d" % number, A)
    store, cursor, keys = pair.nodes[1].store, 0, []
    while True:
        found, cursor = store.scan(cursor, 16)
        keys += [key for _, key, _ in found]
        if cursor == 0:
            break
    assert sorted(keys) == sorted(b"u%d@example.com" % n for n in range(300))
    assert TableStore(pair.nodes[1].ring, []).scan(0, 10) == ([], 0)


def test_a_writer_that_died_means_reading_all_again(pair: Pair) -> None:
    node = pair.nodes[1]
    assert node.store.at_end
    node.ring.note_stripe(LOCATION, 3)
    assert not node.store.at_end
    assert node.taken(10) == LOST
    assert node.store.at_end
    node.ring.note_stripe(99, 3)  # of a table that is not shared
    node.ring.note(99, b"x")
    assert node.taken(10) == 0
