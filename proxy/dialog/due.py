"""What is due in a dialog at a moment: its end, a ping, nothing. Pure, decided from the record.

Pings come at multiples of their interval after the answer, so nobody has to remember the last one:
`due` in the record is the next multiple, and who has pinged moves it on.
"""

from __future__ import annotations

from dataclasses import dataclass

from proxy.dialog import layout as at
from proxy.dialog.decoded import DialogRecord
from proxy.dialog.states import EndReason, State

BYE_PATIENCE_S = 40  # an ended dialog waits so long for answers to BYEs: 64*T1 and a little
BYE_AGAIN_S = 3  # after so long somebody looks whether the BYEs are still under way
ADOPTION_S = 600  # what has been due for so long its own node will not see to any more
OPTIONS_PING = at.PING_CALLER | at.PING_CALLEE
REINVITE_PING = at.REINVITE_PING_CALLER | at.REINVITE_PING_CALLEE
# What makes somebody look at a call before its lifetime is over.
WATCHED = OPTIONS_PING | REINVITE_PING | at.END_ON_RACE | at.END_WANTED


@dataclass(frozen=True, slots=True)
class Intervals:
    """The settings that decide when something is due, in seconds."""

    options_ping: int = 30
    reinvite_ping: int = 300
    race_condition: int = 5
    delete_delay: int = 5


@dataclass(frozen=True, slots=True)
class Ping:
    """A request that asks one side whether it still knows the dialog."""

    to_caller: bool
    method: str


def end_due(record: DialogRecord, now: int, intervals: Intervals) -> EndReason:
    """Why a live dialog has to end now; NONE when it has not."""
    if record.state == State.DELETED:
        return EndReason.NONE
    if record.flags & at.END_WANTED:
        return EndReason(record.end_reason)
    if record.state not in (State.CONFIRMED_NA, State.CONFIRMED):
        return EndReason.NONE
    if record.timeout_at and now >= record.timeout_at:
        return EndReason.LIFETIME_TIMEOUT
    if has_raced(record) and now >= record.answered_ms // 1000 + intervals.race_condition:
        return EndReason.SIP_RACE_CONDITION
    return EndReason.NONE


def has_raced(record: DialogRecord) -> bool:
    """Whether a CANCEL and a 2xx crossed, and the policy wants such calls ended."""
    return bool(record.flags & at.RACE) and bool(record.flags & at.END_ON_RACE)


def pings_due(record: DialogRecord, now: int, intervals: Intervals) -> list[Ping]:
    """The pings that are due; a re-INVITE makes OPTIONS to the same side superfluous."""
    if record.state != State.CONFIRMED or not 0 < record.due <= now:
        return []
    answered = record.answered_ms // 1000
    found: dict[bool, str] = {}
    for bit, to_caller, method, interval in (
        (at.PING_CALLER, True, "OPTIONS", intervals.options_ping),
        (at.PING_CALLEE, False, "OPTIONS", intervals.options_ping),
        (at.REINVITE_PING_CALLER, True, "INVITE", intervals.reinvite_ping),
        (at.REINVITE_PING_CALLEE, False, "INVITE", intervals.reinvite_ping),
    ):
        rounds = (now - answered) // interval
        if record.flags & bit and rounds > 0 and answered + rounds * interval >= record.due:
            found[to_caller] = method
    return [Ping(to_caller, method) for to_caller, method in found.items()]


def next_due(record: DialogRecord, now: int, intervals: Intervals) -> int:
    """When somebody has to look at an answered or ended dialog next, wall-clock seconds."""
    if record.state == State.DELETED:
        if record.flags & at.BYES_OPEN:
            return now + BYE_AGAIN_S
        return record.ended_ms // 1000 + intervals.delete_delay
    if record.flags & at.END_WANTED:
        return now
    moments = [record.timeout_at] if record.timeout_at else []
    answered = record.answered_ms // 1000
    if has_raced(record):
        moments.append(answered + intervals.race_condition)
    for bits, interval in (
        (OPTIONS_PING, intervals.options_ping),
        (REINVITE_PING, intervals.reinvite_ping),
    ):
        if record.flags & bits:
            moments.append(answered + ((now - answered) // interval + 1) * interval)
    return min(moments, default=record.due)


def may_be_removed(record: DialogRecord, now: int, intervals: Intervals) -> bool:
    """Whether an ended dialog has been kept long enough."""
    if record.state != State.DELETED:
        return False
    ended = record.ended_ms // 1000
    if record.flags & at.BYES_OPEN and now < ended + BYE_PATIENCE_S:
        return False
    return now >= ended + intervals.delete_delay
