"""What is due in a dialog, and when somebody has to look at it."""

from __future__ import annotations

import pytest

from proxy.dialog import layout as at
from proxy.dialog.decoded import DialogRecord
from proxy.dialog.due import (
    BYE_AGAIN_S,
    BYE_PATIENCE_S,
    Intervals,
    Ping,
    end_due,
    may_be_removed,
    next_due,
    pings_due,
)
from proxy.dialog.states import EndReason, State

T0 = 1_700_000_000
EVERY = Intervals(options_ping=30, reinvite_ping=300, race_condition=5, delete_delay=7)


def talking(flags: int = 0, lifetime: int = 3_600) -> DialogRecord:
    record = DialogRecord(b"call\0tag", state=State.CONFIRMED, answered_ms=T0 * 1000 + 999)
    record.flags, record.timeout_at = flags, T0 + lifetime
    record.due = next_due(record, T0, EVERY)
    return record


def test_a_call_ends_at_the_end_of_its_lifetime() -> None:
    record = talking()
    assert record.due == T0 + 3_600
    assert end_due(record, T0 + 3_599, EVERY) == EndReason.NONE
    assert end_due(record, T0 + 3_600, EVERY) == EndReason.LIFETIME_TIMEOUT


@pytest.mark.parametrize("state", [State.UNCONFIRMED, State.EARLY, State.DELETED])
def test_only_an_answered_call_has_a_lifetime(state: State) -> None:
    record = talking()
    record.state = state
    assert end_due(record, T0 + 9_999, EVERY) == EndReason.NONE


def test_pings_come_at_multiples_of_their_interval() -> None:
    record = talking(at.PING_CALLER | at.PING_CALLEE | at.REINVITE_PING_CALLEE)
    pinged = []
    for now in range(T0, T0 + 400):
        for ping in pings_due(record, now, EVERY):
            pinged.append((now - T0, ping))
        if record.due <= now:
            record.due = next_due(record, now, EVERY)
    to_callee = {when: ping.method for when, ping in pinged if not ping.to_caller}
    assert to_callee == dict.fromkeys(range(30, 400, 30), "OPTIONS") | {300: "INVITE"}
    assert [when for when, ping in pinged if ping.to_caller] == list(range(30, 400, 30))


def test_who_was_away_pings_once_and_goes_on_in_step() -> None:
    record = talking(at.PING_CALLER)
    assert pings_due(record, T0 + 101, EVERY) == [Ping(True, "OPTIONS")]
    assert next_due(record, T0 + 101, EVERY) == T0 + 120


def test_a_dialog_looked_at_for_something_else_is_not_pinged() -> None:
    record = talking(at.PING_CALLER)
    record.due = T0 + 31
    assert pings_due(record, T0 + 31, EVERY) == []


def test_a_race_ends_what_asked_for_it() -> None:
    record = talking(at.RACE | at.END_ON_RACE)
    assert record.due == T0 + 5
    assert end_due(record, T0 + 5, EVERY) == EndReason.SIP_RACE_CONDITION
    assert end_due(talking(at.RACE), T0 + 5, EVERY) == EndReason.NONE


def test_what_is_wanted_is_due_at_once_in_any_state() -> None:
    record = talking(at.END_WANTED)
    record.end_reason = EndReason.MI_TERMINATION
    assert record.due == T0
    for state in (State.EARLY, State.CONFIRMED):
        record.state = state
        assert end_due(record, T0, EVERY) == EndReason.MI_TERMINATION


def test_an_ended_dialog_waits_for_late_messages_and_for_its_byes() -> None:
    record = DialogRecord(b"call\0tag", state=State.DELETED, ended_ms=T0 * 1000)
    assert next_due(record, T0, EVERY) == T0 + 7
    assert not may_be_removed(record, T0 + 6, EVERY)
    assert may_be_removed(record, T0 + 7, EVERY)
    record.flags = at.BYES_OPEN
    assert next_due(record, T0 + 9, EVERY) == T0 + 9 + BYE_AGAIN_S
    assert not may_be_removed(record, T0 + BYE_PATIENCE_S - 1, EVERY)
    assert may_be_removed(record, T0 + BYE_PATIENCE_S, EVERY)
