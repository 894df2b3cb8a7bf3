"""Dialogs in several hands, their ids, their variables and profiles, and what time does to them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.cluster.hlc import HybridClock
from proxy.dialog import layout
from proxy.dialog.decoded import DialogRecord
from proxy.dialog.dialog import Dialog
from proxy.dialog.profiles import Profiles, did_words
from proxy.dialog.record import did_of
from proxy.dialog.route_set import names_target
from proxy.dialog.rules import DialogRules
from proxy.dialog.states import EndReason, Event, State
from proxy.dialog.store import DialogStore
from proxy.dialog.sweep import Sweep
from proxy.dialog.tracker import Tracker
from proxy.errors import ProfileUnknown
from proxy.limits import counters as ids
from proxy.limits.bounds import DIALOG_LEGS, DIALOG_PROFILES
from proxy.shm.dialog_table import DialogTable
from proxy.shm.profile_table import ProfileTable
from proxy.shm.slots import ProcessSlots
from proxy.sip.message import parse
from tests.unit.dialog.calling import invite, response, within

WALL_MS = 1_700_000_000_000


class Hands:
    """Two processes over the same tables."""

    def __init__(self, folder: Path, **rules: int) -> None:
        self.table = DialogTable.create(str(folder / "dialogs.table"), 100)
        self.table.begin_epoch(WALL_MS // 1000)
        self.members = ProfileTable.create(None, 100, 1_000)
        self.slots = ProcessSlots.create(None, 2, ids.COUNT)
        self.one = self.tracker(0, **rules)
        self.other = self.tracker(1, **rules)

    def tracker(self, row: int, **rules: int) -> Tracker:
        profiles = Profiles(self.members, ("caller",), ("all",))
        counters = self.slots.counters(row)
        store = DialogStore(self.table, profiles, DialogRules(**rules), HybridClock(), counters)
        store.set_time(WALL_MS)
        return Tracker(store)

    def create(self, number: int = 1) -> Dialog:
        made = self.one.create(invite(number), b"s:1")
        assert made is not None
        return made

    def confirmed(self, number: int = 1) -> Dialog:
        dialog = self.create(number)
        dialog.answered(response(200, number=number), b"s:2", b"192.0.2.2:5060")
        return dialog

    def count(self, name: str) -> int:
        return self.slots.total(ids.NAMES.index(name))


@pytest.fixture
def hands(tmp_path: Path) -> Hands:
    return Hands(tmp_path)


def test_no_id_comes_twice(hands: Hands, tmp_path: Path) -> None:
    seen = set()
    for round_ in range(3):
        hands.table.begin_epoch(5)  # a clock that was put back
        hands.table.touch(WALL_MS)  # what others keep in the header is elsewhere
        for tracker in (hands.tracker(0), hands.tracker(1)):
            seen |= {tracker.store.new_did() for _ in range(5_000)}
        assert len(seen) == 10_000 * (round_ + 1)
    hands.table.close(clean=True)
    again = DialogTable.attach(str(tmp_path / "dialogs.table"))
    epoch = again.id_epoch()
    assert again.begin_epoch(5) == epoch + 1
    assert again.take_ids() >= 30_000


def test_a_did_has_one_text(hands: Hands) -> None:
    dialog = hands.create()
    assert dialog.did.decode() == dialog.record().did == did_words(did_of(dialog.payload))


def test_a_change_is_made_to_the_newest_record(hands: Hands) -> None:
    dialog = hands.create()
    elsewhere = hands.other.open(dialog.key)
    assert elsewhere is not None
    assert elsewhere.set_variable(b"account", b"17")
    dialog.provisional(response(180), b"s:2", b"192.0.2.2:5060")
    assert (dialog.state, dialog.variable(b"account")) == (State.EARLY, b"17")
    versions = []

    def remember(record: DialogRecord) -> bool:
        versions.append(record.version)
        return True

    assert elsewhere.change(remember)
    assert elsewhere.record().version > versions[-1]


def test_exactly_one_ends_it(hands: Hands) -> None:
    dialog = hands.confirmed()
    elsewhere = hands.other.open(dialog.key)
    assert elsewhere is not None
    assert elsewhere.end(Event.TERMINATE, EndReason.MI_TERMINATION, 0)
    assert not dialog.end(Event.TIMEOUT, EndReason.LIFETIME_TIMEOUT, 0)
    found = hands.one.find(within(b"BYE", 2))
    assert found is not None
    assert not found.hung_up(2, 200)
    assert found.record().end_words == "MI Termination"


@pytest.mark.parametrize("status", [200, 202, 404, 408, 410, 480, 481, 483, 502, 604])
def test_a_call_ends_when_its_bye_is_answered_and_ended_when_it_came(
    hands: Hands, status: int
) -> None:
    hands.confirmed()
    found = hands.one.find(within(b"BYE", 2))
    assert found is not None
    found.asked_ms = WALL_MS + 1_000
    hands.one.store.set_time(WALL_MS + 9_000)
    assert found.hung_up(2, status)
    record = found.record()
    assert (record.ended_ms, record.callees[0].ended_ms) == (WALL_MS + 1_000, WALL_MS + 1_000)
    delay = hands.one.store.rules.delete_delay
    assert record.due == WALL_MS // 1_000 + 9 + delay, "late messages come after the answer"


@pytest.mark.parametrize("status", [301, 401, 407, 420, 491, 500, 503, 603])
def test_a_bye_that_is_refused_ends_nothing(hands: Hands, status: int) -> None:
    hands.confirmed()
    found = hands.one.find(within(b"BYE", 2))
    assert found is not None
    assert not found.hung_up(2, status)
    assert found.state == State.CONFIRMED_NA
    assert found.record().callees[0].caller_cseq == 2, "its number has been used all the same"
    assert found.hung_up(3, 200)


def test_a_call_cannot_end_before_it_was_answered(hands: Hands) -> None:
    hands.confirmed()
    found = hands.one.find(within(b"BYE", 2))
    assert found is not None
    found.asked_ms = WALL_MS - 500  # it came while it rang
    assert found.hung_up(2, 200)
    assert found.record().ended_ms == WALL_MS


def test_what_a_busy_lock_keeps_from_being_written_is_written_later(hands: Hands) -> None:
    dialog = hands.create()
    store, table = hands.one.store, hands.table
    stripe = table.hash_of(dialog.key) & table.stripe_mask

    def blocked(change: Callable[[], object]) -> None:
        table.acquire(stripe)
        change()
        store.pay(0.0)
        table.arena.unlock(table.stripe_at(table.hash_of(dialog.key)))
        store.pay(0.1)
        assert len(store.owed) == 1, "not so soon again"
        store.pay(0.3)
        assert len(store.owed) == 0

    blocked(lambda: dialog.answered(response(200), b"s:2", b"192.0.2.2:5060"))
    assert State(dialog.state) == State.CONFIRMED_NA
    assert dialog.join(b"all", b"", 0)
    found = hands.one.find(within(b"BYE", 2))
    assert found is not None
    found.asked_ms = WALL_MS + 5
    store.pay_at = 0.0
    blocked(lambda: found.hung_up(2, 200))
    assert (found.record().ended_ms, hands.members.size(b"all\0", 0)) == (WALL_MS + 5, 0)
    other = hands.create(2)
    stripe = table.hash_of(other.key) & table.stripe_mask
    dialog = other
    store.pay_at = 0.0
    blocked(lambda: other.failed(486))
    assert (other.state, hands.count("dialog:failed_dialogs")) == (State.DELETED, 1)


def test_a_record_that_is_gone_takes_no_change(hands: Hands) -> None:
    dialog = hands.confirmed()
    hands.one.store.remove(dialog.key, dialog.stamp)
    assert not dialog.set_variable(b"a", b"b")
    assert not dialog.end(Event.TERMINATE, EndReason.MI_TERMINATION, 0)
    assert not dialog.join(b"all", b"", 0)
    assert hands.members.size(b"all\0", 0) == 0
    assert hands.table.count == 0


def test_a_dialog_is_found_from_either_end(hands: Hands) -> None:
    hands.confirmed()
    caller = hands.other.find(within(b"INFO", 2))
    callee = hands.other.find(within(b"INFO", 7, b"b", b"a"))
    assert caller is not None
    assert callee is not None
    assert (caller.from_caller, callee.from_caller) == (True, False)
    caller.requested(within(b"INFO", 2))
    callee.requested(within(b"INFO", 7, b"b", b"a"))
    leg = callee.record().callees[0]
    assert (leg.caller_cseq, leg.cseq) == (2, 7)
    assert hands.other.find(within(b"INFO", 2, b"a", b"c")) is None
    assert hands.other.find(within(b"INFO", 2, b"c", b"a")) is None


def test_an_invite_cannot_take_the_place_of_a_call_that_is_up(hands: Hands) -> None:
    dialog = hands.confirmed()
    for cseq in (5, 4):
        other = hands.other.create(invite(cseq=cseq), b"s:1")
        assert other is not None
        assert other.did != dialog.did
        assert hands.other.find(within(b"INFO", 2), other.did) is None
    found = hands.other.find(within(b"INFO", 2), dialog.did)
    assert found is not None
    assert found.state == State.CONFIRMED_NA
    assert hands.count("sipherd:dialogs_untracked") == 0


def test_the_same_invite_has_the_same_dialog(hands: Hands) -> None:
    dialog = hands.create()
    again = hands.other.create(invite(), b"s:1")
    assert again is not None
    assert again.did == dialog.did
    assert hands.count("dialog:processed_dialogs") == 1


def test_more_callees_than_are_told_apart(hands: Hands) -> None:
    dialog = hands.create()
    for number in range(DIALOG_LEGS + 3):
        dialog.provisional(response(180, b"b%d" % number), b"s:2", b"192.0.2.2:5060")
    assert len(dialog.record().callees) == DIALOG_LEGS
    dialog.answered(response(200, b"b99"), b"s:2", b"192.0.2.9:5060")
    assert dialog.state == State.CONFIRMED_NA
    found = hands.other.find(within(b"BYE", 2, b"a", b"b99"))
    assert found is not None
    assert found.hung_up(2, 200)
    assert [leg.destination for leg in found.record().callees][-1] == b"192.0.2.9:5060"


def test_more_answers_than_are_told_apart(hands: Hands) -> None:
    dialog = hands.create()
    for number in range(DIALOG_LEGS + 3):
        dialog.answered(response(200, b"b%d" % number), b"s:2", b"192.0.2.2:5060")
    assert [leg.tag for leg in dialog.record().callees] == [b"b%d" % n for n in range(DIALOG_LEGS)]


def test_route_sets_are_those_beyond_us(hands: Hands) -> None:
    dialog = hands.create()
    ours = b"<sip:192.0.2.100;lr;did=%b;k=0>" % dialog.did
    routes = b"Record-Route: <sip:p2;lr>, <sip:p1;lr>\r\nRecord-Route: %b\r\n" % ours
    routes += b"Record-Route: <sip:before;lr>\r\n"
    dialog.answered(response(200, routes=routes), b"s:2", b"192.0.2.2:5060")
    assert dialog.record().callees[0].routes == b"<sip:p1;lr>, <sip:p2;lr>"


@pytest.mark.parametrize("contact", [b"*", b"<nonsense", b"<sip:%b@h>" % (b"x" * 600)])
def test_a_contact_that_cannot_be_used_is_not_kept(hands: Hands, contact: bytes) -> None:
    made = hands.one.create(invite(contact=contact), b"s:1")
    assert made is not None
    assert made.record().caller.contact == b""


def test_variables_are_bounded(hands: Hands) -> None:
    dialog = hands.create()
    assert dialog.set_variable(b"a", b"x" * 4_000)
    assert not dialog.set_variable(b"b", b"x" * 100)
    assert not dialog.set_variable(b"n" * 256, b"")
    assert dialog.set_variable(b"a", b"")
    assert dialog.set_variable(b"b", b"x" * 100)


def test_profiles_are_entered_and_left(hands: Hands) -> None:
    dialogs = [hands.confirmed(number) for number in range(5)]
    profiles = hands.one.store.profiles
    assert [one.join(b"caller", b"alice", 3) for one in dialogs] == [True] * 3 + [False] * 2
    assert dialogs[0].join(b"caller", b"alice", 1), "it is in it already"
    assert all(one.join(b"all", b"", 0) for one in dialogs)
    assert profiles.size(b"all", None, 0) == 5
    assert profiles.size(b"caller", None, 0) == profiles.size(b"caller", b"alice", 0) == 3
    assert profiles.values(b"caller", 0) == [(b"alice", 3)]
    assert len(profiles.members(b"all", b"")) == 5
    assert dialogs[0].leave(b"caller", b"alice")
    assert not dialogs[0].leave(b"caller", b"alice")
    assert dialogs[1].end(Event.TIMEOUT, EndReason.LIFETIME_TIMEOUT, 0)
    assert profiles.values(b"caller", 0) == [(b"alice", 1)]
    assert profiles.size(b"all", None, 0) == 4
    assert dialogs[2].profiles() == [(b"caller", b"alice"), (b"all", b"")]


def test_what_is_no_profile(hands: Hands) -> None:
    dialog = hands.create()
    for name, value in (
        (b"unknown", b""),
        (b"caller", b""),
        (b"all", b"x"),
        (b"caller", b"x" * 97),
    ):
        with pytest.raises(ProfileUnknown):
            dialog.join(name, value, 0)
    for number in range(DIALOG_PROFILES):
        assert dialog.join(b"caller", b"%d" % number, 0)
    assert not dialog.join(b"caller", b"one more", 0)


def test_a_dialog_that_comes_back_joins_again(hands: Hands) -> None:
    dialog = hands.create()
    assert dialog.join(b"all", b"", 1)
    assert dialog.failed(408)
    assert hands.members.size(b"all\0", 0) == 0
    other = hands.create(2)
    assert other.join(b"all", b"", 1)
    dialog.answered(response(200), b"s:2", b"192.0.2.2:5060")
    assert dialog.state == State.CONFIRMED_NA
    assert hands.members.size(b"all\0", 0) == 2, "there are two calls, whatever the limit"


def test_members_without_a_dialog_are_swept_out(hands: Hands) -> None:
    kept, lost = hands.create(1), hands.create(2)
    for dialog in (kept, lost):
        assert dialog.join(b"all", b"", 0)
    hands.one.store.remove(lost.key, lost.stamp)  # its worker died before it could leave
    sweep = Sweep(hands.other)
    assert sweep.sweep_profiles() == 0, "who has just joined is let be"
    hands.other.store.set_time(WALL_MS + 6_000)
    assert sweep.sweep_profiles() == 1
    assert hands.one.store.profiles.members(b"all", b"") == [did_of(kept.payload)]
    assert hands.count("sipherd:profile_members_swept") == 1


def test_a_record_that_makes_no_sense_goes(hands: Hands) -> None:
    hands.table.commit(b"x\0y", 0, b"nonsense", 1, 0)
    assert hands.one.open(b"x\0y") is None
    Sweep(hands.one).sweep()
    assert hands.table.count == 0
    assert hands.count("sipherd:corrupt_records") > 0


def test_an_ended_dialog_goes_when_nothing_is_left_to_do(hands: Hands) -> None:
    store = hands.other.store
    live, ended, asked = hands.create(1), hands.create(2), hands.confirmed(3)
    ended.failed(486)
    asked.end(Event.TERMINATE, EndReason.MI_TERMINATION, 0, layout.BYES_OPEN)
    assert [store.clear(each.key) for each in (live, ended, asked)] == [False, True, False]
    assert not store.clear(b"nobody")
    assert [hands.one.open(each.key) is None for each in (live, ended, asked)] == [
        False,
        True,
        False,
    ]


def test_the_contact_of_the_answer_counts(hands: Hands) -> None:
    as_before, elsewhere = response(200), response(200)
    elsewhere = parse(elsewhere.data.replace(b"<sip:b@192.0.2.2>", b"<sip:b@192.0.2.22>"))
    odd = parse(as_before.data.replace(b"<sip:b@192.0.2.2>", b"<sip:b@192.0.2.2"))
    for number, (answer, contact) in enumerate(
        (
            (as_before, b"sip:b@192.0.2.2"),
            (elsewhere, b"sip:b@192.0.2.22"),
            (odd, b"sip:b@192.0.2.2"),
        )
    ):
        dialog = hands.create(number)
        dialog.provisional(response(180), b"s:2", b"192.0.2.2:5060")
        dialog.answered(answer, b"s:2", b"192.0.2.2:5060")
        assert dialog.record().callees[0].contact == contact


@pytest.mark.parametrize(
    ("line", "is_it"),
    [
        (b"Contact: <sip:b@192.0.2.2>\r\n", True),
        (b"m: <sip:b@192.0.2.2>\r\n", True),
        (b"Contact: <sip:b@192.0.2.2>;x\r\n", False),
        (b"Contact: <sip:b@192.0.2.2;x>\r\n", False),
        (b'Contact: "b" <sip:b@192.0.2.2>\r\n', False),
        (b"Contact: <\r\n", False),
        (b"Contact:\r\n", False),
        (b"", False),
    ],
)
def test_a_target_is_known_again(line: bytes, is_it: bool) -> None:
    data = response(200).data.replace(b"Contact: <sip:b@192.0.2.2>\r\n", line)
    assert names_target(parse(data), b"sip:b@192.0.2.2") == is_it


def test_gauges_follow_the_states(hands: Hands) -> None:
    dialogs = [hands.create(number) for number in range(20)]
    assert hands.table.gauges() == (0, 0)
    for number, dialog in enumerate(dialogs):
        dialog.provisional(response(180, number=number), b"s", b"d")
    assert hands.table.gauges() == (20, 0)
    for number, dialog in enumerate(dialogs[:15]):
        dialog.answered(response(200, number=number), b"s", b"d")
    assert hands.table.gauges() == (5, 15)
    for dialog in dialogs:
        dialog.end(Event.TERMINATE, EndReason.MI_TERMINATION, 0)
    assert hands.table.gauges() == (0, 0)
