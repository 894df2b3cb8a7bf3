"""The calls of two nodes: each knows those of both, and every profile counts each once."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from proxy.cluster.form import joined
from proxy.cluster.hlc import HybridClock
from proxy.cluster.store import Horizon
from proxy.dialog import layout as at
from proxy.dialog.decoded import decode, encode
from proxy.dialog.dialog import Dialog
from proxy.dialog.profiles import Profiles
from proxy.dialog.record import key_of
from proxy.dialog.replica import is_buried
from proxy.dialog.rules import DialogRules
from proxy.dialog.states import EndReason, Event, State
from proxy.dialog.store import DialogStore
from proxy.dialog.sweep import Sweep
from proxy.dialog.tracker import Tracker
from proxy.errors import TableFull
from proxy.limits import counters as ids
from proxy.registrar.binding import Binding
from proxy.registrar.binding import encode as encode_bindings
from proxy.shm.changes import ChangeRing
from proxy.shm.dialog_table import DialogTable
from proxy.shm.location_table import LocationTable
from proxy.shm.profile_table import ProfileTable
from proxy.shm.slots import ProcessSlots
from proxy.shm.table_ids import DIALOGS, LOCATION
from tests.unit.dialog.calling import invite, response, within
from workers.clusterer.dialogs import DialogAdapter
from workers.clusterer.location import LocationAdapter
from workers.clusterer.store import TableStore

WALL_MS = 1_700_000_000_000
KEY = key_of(b"call-1", b"a")
ALL = b"all\0"


class Node:
    """One node's table of calls, a worker on it, and what the clusterer makes of it."""

    def __init__(self, folder: Path, number: int, lead_ms: int = 0) -> None:
        self.number = number
        self.table = DialogTable.create(
            str(folder / f"dialogs-{number}.table"), 64, seed=number * 7_919
        )
        self.table.begin_epoch(WALL_MS // 1000)
        self.members = ProfileTable.create(None, 64, 256, seed=number)
        self.slots = ProcessSlots.create(None, 2, ids.COUNT)
        profiles = Profiles(self.members, ("caller",), ("all",))
        rules = DialogRules(node=number, replicated=True)
        counters = self.slots.counters(0)
        self.store = DialogStore(self.table, profiles, rules, HybridClock(), counters)
        self.store.set_time(WALL_MS + lead_ms)
        self.tracker = Tracker(self.store)
        self.adapter = DialogAdapter(self.table, profiles, self.slots.counters(1))

    def pass_time(self, ms: int) -> None:
        self.store.set_time(self.store.wall_ms + ms)

    def body(self, key: bytes = KEY) -> bytes | None:
        payload, _ = self.table.snapshot(key)
        return None if payload is None else self.adapter.body(key, payload)

    def take(self, key: bytes, body: bytes, before: int = 0) -> bool:
        """What TableStore.apply does; whether it was news."""
        horizon = Horizon(self.number, self.store.wall, 5, before)
        payload, stamp = self.table.snapshot(key)
        merged = joined(self.adapter.form, payload, body, horizon)
        return merged is not None and self.adapter.commit(key, stamp, payload, merged)

    def hears_of(self, other: Node, key: bytes = KEY) -> bool:
        body = other.body(key)
        return body is not None and self.take(key, body)

    def hears_all_of(self, other: Node) -> None:
        for key, _ in other.table.scan(0, 1_000)[0]:
            self.hears_of(other, key)

    def dialog(self, key: bytes = KEY) -> Dialog:
        found = self.tracker.open(key)
        assert found is not None
        return found

    def size(self, profile: bytes = ALL) -> int:
        return self.members.size(profile, self.store.wall)

    def bury(self, key: bytes = KEY) -> None:
        self.pass_time(10_000)
        Sweep(self.tracker).sweep()
        assert is_buried(self.dialog(key).payload)


class Pair:
    """Two nodes, and the call that the first has set up."""

    def __init__(self, folder: Path) -> None:
        self.a, self.b = Node(folder, 1), Node(folder, 2)

    def ringing(self) -> Dialog:
        dialog = self.a.tracker.create(invite(), b"s:1")
        assert dialog is not None
        dialog.join(b"all", b"", 1)
        dialog.join(b"caller", b"alice", 1)
        dialog.provisional(response(180), b"s:2", b"192.0.2.2:5060")
        assert self.b.hears_of(self.a)
        return dialog

    def up(self) -> Dialog:
        dialog = self.ringing()
        dialog.answered(response(200), b"s:2", b"192.0.2.2:5060")
        assert self.b.hears_of(self.a)
        return dialog

    def equal(self) -> bool:
        return self.a.body() == self.b.body()


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair(tmp_path)


def test_a_replica_is_the_record_byte_for_byte(pair: Pair) -> None:
    pair.up()
    assert pair.equal()
    assert not pair.b.hears_of(pair.a)
    assert not pair.a.hears_of(pair.b)
    assert pair.b.table.gauges() == (0, 1)
    assert pair.b.table.expires_at(KEY) == pair.a.table.expires_at(KEY)


def test_a_call_of_either_node_is_a_member_on_both(pair: Pair) -> None:
    pair.ringing()
    assert (pair.a.size(), pair.b.size()) == (1, 1)
    assert pair.b.size(b"caller\0alice") == 1
    other = pair.b.tracker.create(invite(2), b"s:1")
    assert other is not None
    assert not other.join(b"all", b"", 1), "the limit counts the other node's call"
    assert other.join(b"all", b"", 2)
    assert pair.a.hears_of(pair.b, key_of(b"call-2", b"a"))
    assert (pair.a.size(), pair.b.size()) == (2, 2)


def test_members_come_without_a_limit_and_once(pair: Pair) -> None:
    dialog = pair.up()
    for number in range(3):
        dialog.set_variable(b"n", b"%d" % number)
        assert pair.b.hears_of(pair.a)
    assert pair.b.size() == 1
    dialog.leave(b"all", b"")
    dialog.join(b"caller", b"bob", 0)
    pair.b.hears_of(pair.a)
    assert (pair.b.size(), pair.b.size(b"caller\0bob")) == (0, 1)


def test_a_profile_that_is_not_declared_here_is_no_profile(pair: Pair) -> None:
    dialog = pair.up()
    record = dialog.record()
    record.profiles = [(b"other", b""), (b"all", b"x"), (b"caller", b"alice")]
    record.version += 1
    assert pair.b.take(KEY, encode(record))
    assert [row[0] for row in pair.b.members.counts(b"", 0)] == [b"caller\0alice"]


def test_who_ends_it_ends_it_everywhere(pair: Pair) -> None:
    pair.up()
    found = pair.b.tracker.find(within(b"BYE", 2))
    assert found is not None
    assert found.hung_up(2, 200)
    assert pair.a.hears_of(pair.b)
    assert (pair.a.size(), pair.b.size()) == (0, 0)
    assert pair.a.table.gauges() == pair.b.table.gauges() == (0, 0)
    assert pair.a.dialog().record().owner == 2, "who acted last"


def test_a_dialog_is_owned_by_who_acted_last(pair: Pair) -> None:
    dialog = pair.up()
    assert dialog.record().owner == 1
    found = pair.b.tracker.find(within(b"INFO", 2))
    assert found is not None
    found.requested(within(b"INFO", 2))
    pair.a.hears_of(pair.b)
    assert pair.equal()
    assert pair.a.dialog().record().owner == 2
    assert pair.a.dialog().set_variable(b"n", b"1")
    assert pair.a.dialog().record().owner == 1


def test_the_other_node_knows_the_invite_again(pair: Pair) -> None:
    dialog = pair.ringing()
    again = pair.b.tracker.create(invite(), b"s:1")
    assert again is not None
    assert again.did == dialog.did
    assert pair.b.tracker.of_invite(response(200), b"z9hG4bKx") is not None
    assert pair.b.tracker.of_invite(response(200), b"z9hG4bKother") is None


def test_the_answer_may_come_by_the_other_node(pair: Pair) -> None:
    pair.ringing()
    found = pair.b.tracker.of_invite(response(200), b"z9hG4bKx")
    assert found is not None
    found.answered(response(200), b"s:2", b"")
    assert pair.b.table.gauges() == (0, 1)
    # the first one has not heard of that, and gives up what it had under way
    pair.a.pass_time(60_000)
    assert pair.a.dialog().end(Event.FAILURE, EndReason.FAILED, 408)
    assert pair.a.size() == 0
    assert pair.a.hears_of(pair.b)
    assert not pair.b.hears_of(pair.a)
    assert pair.a.dialog().state == State.CONFIRMED_NA
    assert (pair.a.size(), pair.b.size()) == (1, 1)


def test_a_change_meets_another_of_the_clusterer(pair: Pair) -> None:
    dialog = pair.up()
    found = pair.b.tracker.find(within(b"BYE", 2))
    assert found is not None
    found.hung_up(2, 200)
    pair.a.hears_of(pair.b)
    # a worker of the first node still holds the call as it was
    dialog.leg, dialog.from_caller = at.HEAD, True
    assert not dialog.hung_up(3, 200)
    assert dialog.state == State.DELETED
    assert dialog.record().version > pair.b.dialog().record().version


def test_an_ended_call_leaves_a_grave_until_every_node_knows(pair: Pair) -> None:
    dialog = pair.up()
    dialog.end(Event.TERMINATE, EndReason.MI_TERMINATION, 0)
    full = pair.a.body()
    assert full is not None
    pair.a.bury()
    pair.b.hears_of(pair.a)
    assert pair.equal()
    assert not pair.b.take(KEY, full), "what is late brings nothing back"
    for node in (pair.a, pair.b):
        sweep = Sweep(node.tracker)
        version = node.dialog().record().version
        assert sweep.sweep_graves(version) == 0
        assert sweep.sweep_graves(version + 1) == 1
        assert node.table.count == 0


def test_graves_make_room_for_calls(tmp_path: Path) -> None:
    node = Node(tmp_path, 1)
    sweep = Sweep(node.tracker)
    for number in range(50):
        dialog = node.tracker.create(invite(number), b"s:1")
        assert dialog is not None
        dialog.end(Event.FAILURE, EndReason.FAILED, 486)
    node.pass_time(60_000)
    assert sweep.sweep() == 50
    assert sweep.sweep_graves(0) == 0
    node.pass_time(60_000)
    assert sweep.sweep_graves(0) == 50


def test_the_same_names_again_make_a_new_call_everywhere(pair: Pair) -> None:
    dialog = pair.ringing()
    dialog.failed(407)
    pair.b.hears_of(pair.a)
    again = pair.a.tracker.create(invite(cseq=2, branch=b"z9hG4bKx2"), b"s:1")
    assert again is not None
    assert again.did != dialog.did
    assert again.key == KEY
    pair.b.hears_all_of(pair.a)
    assert pair.equal()
    assert pair.b.dialog().did == again.did
    assert pair.b.table.count == pair.a.table.count == 2
    assert pair.b.table.gauges() == (0, 0)


def test_the_same_names_again_over_a_grave(pair: Pair) -> None:
    pair.ringing().failed(486)
    pair.a.bury()
    pair.b.hears_of(pair.a)
    again = pair.b.tracker.create(invite(cseq=2, branch=b"z9hG4bKx2"), b"s:1")
    assert again is not None
    assert pair.b.table.count == 1
    assert pair.a.hears_of(pair.b)
    assert pair.equal()


def test_what_a_clock_that_was_put_back_makes_is_still_newer(pair: Pair) -> None:
    dialog = pair.ringing()
    dialog.failed(407)
    pair.b.hears_of(pair.a)
    pair.b.store.set_time(WALL_MS - 3_600_000)
    again = pair.b.tracker.create(invite(cseq=2, branch=b"z9hG4bKx2"), b"s:1")
    assert again is not None
    assert pair.a.hears_of(pair.b)
    assert pair.a.dialog().did == again.did


def test_the_record_of_a_call_is_sealed_once(pair: Pair) -> None:
    """The node that seals it writes it: what another says later of the end changes nothing."""
    dialog = pair.up()
    dialog.end(Event.TERMINATE, EndReason.MI_TERMINATION, 0)
    late = replace(decode(KEY, dialog.payload), version=dialog.record().version + 99, owner=2)
    pair.a.bury()
    assert not pair.a.take(KEY, encode(late))
    assert pair.b.take(KEY, encode(late))
    assert pair.b.hears_of(pair.a)
    assert pair.equal()


def test_what_a_peer_would_refuse_is_not_told(pair: Pair) -> None:
    dialog = pair.up()
    odd = replace(dialog.record(), from_uri=b"sip:a\x01@b")
    payload = encode(odd)
    assert pair.a.table.commit(KEY, dialog.stamp, payload, odd.due, 0)
    assert pair.a.body() is None
    assert pair.a.slots.counters(1).get(ids.CORRUPT_RECORDS) == 1


def test_a_member_that_was_joined_before_a_death_is_one(pair: Pair) -> None:
    dialog = pair.a.tracker.create(invite(), b"s:1")
    assert dialog is not None
    dialog.join(b"all", b"", 0)
    did = dialog.payload[at.AT_DID : at.DID_END]
    pair.b.members.join(ALL, did, pair.b.table.hash_of(KEY), 0, 1)
    assert pair.b.hears_of(pair.a)
    assert pair.b.size() == 1


def test_profiles_are_full(tmp_path: Path) -> None:
    pair = Pair(tmp_path)
    for number in range(100_000):
        with suppress(TableFull):
            pair.b.members.join(ALL, number.to_bytes(16, "little"), 1, 0, 1)
        if pair.b.size() == pair.b.members.members:
            break
    dialog = pair.a.tracker.create(invite(), b"s:1")
    assert dialog is not None
    dialog.join(b"all", b"", 0)
    assert pair.b.hears_of(pair.a), "the call goes on, and is counted as one without room"
    assert pair.b.slots.counters(1).get(ids.PROFILES_FULL) == 1


def test_a_store_of_two_tables_scans_both(pair: Pair, tmp_path: Path) -> None:
    for number in range(40):
        assert pair.a.tracker.create(invite(number), b"s:1") is not None
    phone = Binding(b"sip:a@192.0.2.1", b"call", 1)
    phone.version, phone.origin = 1, 1
    location = LocationAdapter(LocationTable.create(str(tmp_path / "location.table"), 64))
    for number in range(40):
        assert location.table.commit(b"u%d@example.com" % number, 0, encode_bindings([phone]), 0, 1)
    store = TableStore(ChangeRing.create(None, 64), [location, pair.a.adapter])
    for limit in (7, 1_000):
        cursor, tables = 0, []
        while True:
            found, cursor = store.scan(cursor, limit)
            tables += [table for table, _, _ in found]
            if cursor == 0:
                break
        assert Counter(tables) == {LOCATION: 40, DIALOGS: 40}
