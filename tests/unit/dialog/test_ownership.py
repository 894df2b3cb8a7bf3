"""Of several nodes one sees to a call: the one that is active for its tag, or had it last."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.cluster.hlc import HybridClock
from proxy.dialog.dialog import Dialog
from proxy.dialog.due import ADOPTION_S, Intervals
from proxy.dialog.profiles import Profiles
from proxy.dialog.rules import DialogRules
from proxy.dialog.states import EndReason, Event, State
from proxy.dialog.store import DialogStore, is_abandoned
from proxy.dialog.sweep import Sweep
from proxy.dialog.tracker import Tracker
from proxy.limits import counters as ids
from proxy.shm.cluster_page import ClusterPage
from proxy.shm.dialog_table import DialogTable
from proxy.shm.profile_table import ProfileTable
from proxy.shm.slots import ProcessSlots
from tests.unit.dialog.test_dialog import WALL_MS, invite, response

LIFETIME = 43_200
SETUP = 301


class TwoNodes:
    """Nodes 1 and 2 over one table, as if all that one writes were at the other at once."""

    def __init__(self, folder: Path, tag: str = "") -> None:
        self.table = DialogTable.create(str(folder / "dialogs.table"), 100)
        self.table.begin_epoch(WALL_MS // 1000)
        self.members = ProfileTable.create(None, 100, 1_000)
        self.slots = ProcessSlots.create(None, 2, ids.COUNT)
        self.pages = [ClusterPage.create(None, node, ("vip",)) for node in (1, 2)]
        self.one, self.two = (self.tracker(page, tag) for page in self.pages)

    def tracker(self, page: ClusterPage, tag: str) -> Tracker:
        rules = DialogRules(node=page.node, tag=tag.encode(), intervals=Intervals(delete_delay=5))
        profiles = Profiles(self.members, (), ())
        counters = self.slots.counters(page.node - 1)
        store = DialogStore(self.table, profiles, rules, HybridClock(), counters, page)
        store.set_time(WALL_MS)
        return Tracker(store)

    def call(self, tag: bytes = b"") -> Dialog:
        """A call that is up, at node 1."""
        made = self.one.create(invite(), b"s:1", tag=tag)
        assert made is not None
        made.answered(response(200), b"s:2", b"192.0.2.2:5060")
        return made

    def sweep(self, node: int, after_s: int) -> int:
        """What node 1 or 2 does after some seconds; in which state the call is then, 0: gone."""
        tracker = self.one if node == 1 else self.two
        tracker.store.set_time(WALL_MS + after_s * 1000)
        Sweep(tracker).sweep()
        rows, _ = self.table.scan(0, 10)
        return rows[0][1][2] if rows else 0


@pytest.fixture
def untagged(tmp_path: Path) -> TwoNodes:
    return TwoNodes(tmp_path)


@pytest.fixture
def tagged(tmp_path: Path) -> TwoNodes:
    return TwoNodes(tmp_path, "vip")


def test_without_a_cluster_everything_is_ours(tmp_path: Path) -> None:
    nodes = TwoNodes(tmp_path)
    store = nodes.one.store
    alone = DialogStore(
        store.table, store.profiles, DialogRules(node=9), HybridClock(), store.counters
    )
    assert alone.acts(nodes.call().payload)
    assert alone.acts(nodes.call(b"vip").payload)


def test_without_a_tag_who_had_it_last_sees_to_it(untagged: TwoNodes) -> None:
    payload = untagged.call().payload
    assert untagged.one.store.acts(payload)
    assert not untagged.two.store.acts(payload)
    assert untagged.sweep(2, LIFETIME + 1) == State.CONFIRMED_NA
    assert untagged.sweep(1, LIFETIME + 1) == State.DELETED


def test_with_a_tag_who_is_active_for_it_does(tagged: TwoNodes) -> None:
    payload = tagged.call().payload
    assert not tagged.one.store.acts(payload)
    tagged.pages[1].set_tag(b"vip", 1, active=True)
    assert tagged.two.store.acts(payload)
    assert not tagged.one.store.acts(payload)
    assert tagged.sweep(1, LIFETIME + 1) == State.CONFIRMED_NA
    assert tagged.sweep(2, LIFETIME + 1) == State.DELETED
    tagged.pages[1].set_tag(b"vip", 2, active=False)
    assert tagged.sweep(2, LIFETIME + 30) == State.DELETED
    tagged.pages[0].set_tag(b"vip", 3, active=True)
    assert tagged.sweep(1, LIFETIME + 30) == 0


def test_a_call_may_have_a_tag_of_its_own(untagged: TwoNodes) -> None:
    payload = untagged.call(b"vip").payload
    assert not untagged.one.store.acts(payload)
    untagged.pages[0].set_tag(b"vip", 1, active=True)
    assert untagged.one.store.acts(payload)


def test_a_tag_that_is_configured_no_more_is_none(untagged: TwoNodes) -> None:
    payload = untagged.call(b"former").payload
    assert untagged.one.store.acts(payload)
    assert not untagged.two.store.acts(payload)


def test_what_a_gone_node_had_is_adopted_after_ten_minutes(untagged: TwoNodes) -> None:
    untagged.call()
    over = LIFETIME + ADOPTION_S
    assert untagged.sweep(2, over - 1) == State.CONFIRMED_NA
    assert untagged.sweep(2, over) == State.DELETED


def test_what_has_a_tag_is_never_adopted(tagged: TwoNodes) -> None:
    tagged.call()
    assert tagged.sweep(2, LIFETIME + 10 * ADOPTION_S) == State.CONFIRMED_NA


def test_a_call_is_not_adopted_for_its_pings(untagged: TwoNodes) -> None:
    dialog = untagged.call()
    dialog.change(lambda record: bool(setattr(record, "due", WALL_MS // 1000 + 30) or True))
    late = WALL_MS // 1000 + 30 + 10 * ADOPTION_S
    assert not is_abandoned(dialog.payload, late)
    assert is_abandoned(dialog.payload, WALL_MS // 1000 + LIFETIME + ADOPTION_S)


def test_an_invite_that_nobody_works_on_is_adopted(untagged: TwoNodes) -> None:
    assert untagged.one.create(invite(), b"s:1") is not None
    assert untagged.sweep(2, SETUP + ADOPTION_S - 1) == State.UNCONFIRMED
    assert untagged.sweep(2, SETUP + ADOPTION_S) == State.DELETED


def test_an_ended_call_is_adopted_so_that_its_record_is_written(untagged: TwoNodes) -> None:
    dialog = untagged.call()
    dialog.end(Event.TERMINATE, EndReason.MI_TERMINATION, 0)
    assert not untagged.two.store.acts(dialog.payload)
    assert not is_abandoned(dialog.payload, WALL_MS // 1000 + ADOPTION_S)
    assert is_abandoned(dialog.payload, WALL_MS // 1000 + 5 + ADOPTION_S)


def test_who_acts_can_tell_whether_somebody_else_did_meanwhile(tagged: TwoNodes) -> None:
    payload = tagged.call().payload
    store = tagged.one.store
    tagged.pages[0].set_tag(b"vip", 5, active=True)
    since = store.acting_since(payload)
    tagged.pages[0].set_tag(b"vip", 6, active=False)
    tagged.pages[0].set_tag(b"vip", 7, active=True)
    assert store.acts(payload)
    assert store.acting_since(payload) != since
