"""Following a peer is a table; sending to it has a window."""

from __future__ import annotations

import pytest

from proxy.cluster.link import TABLE, Event, Following, Sending, State
from proxy.cluster.settings import Pace

PACE = Pace()


def test_every_event_has_its_place_in_every_state() -> None:
    assert set(TABLE) == set(State)
    for row in TABLE.values():
        assert len(row) == len(Event)


@pytest.mark.parametrize("state", State)
def test_a_lost_peer_is_down_and_the_rest_waits_for_a_greeting(state: State) -> None:
    assert TABLE[state][Event.LOST] == State.DOWN
    assert TABLE[state][Event.REBORN] in (State.DOWN, State.GREETING)


def test_only_a_resumption_or_a_comparison_makes_it_whole() -> None:
    ways = {
        (state, event)
        for state in State
        for event in Event
        if TABLE[state][event] == State.FOLLOWING and state != State.FOLLOWING
    }
    assert ways == {(State.GREETING, Event.RESUMED), (State.CATCHING_UP, Event.COMPARED)}


def test_what_was_once_whole_can_be_resumed_until_something_is_missed() -> None:
    following = Following()
    for event in (Event.UP, Event.FRESH):
        following.handle(event)
    assert not following.complete
    following.handle(Event.COMPARED)
    following.handle(Event.LOST)
    assert following.complete
    for event in (Event.UP, Event.RESUMED, Event.MISSED, Event.LOST):
        following.handle(event)
    assert not following.complete


@pytest.mark.parametrize(
    ("after", "upto", "verdict"),
    [(10, 12, 1), (8, 12, 1), (8, 10, 0), (3, 5, 0), (11, 12, -1), (10, 10, 0), (10, 9, -1)],
)
def test_a_batch_is_next_or_known_or_too_early(after: int, upto: int, verdict: int) -> None:
    following = Following()
    following.position = 10
    assert following.judge(after, upto) == verdict


def started(window: int = 2) -> Sending:
    sending = Sending(PACE, window)
    sending.begin(0, 0)
    return sending


def test_nothing_is_sent_before_the_greeting() -> None:
    assert not Sending(PACE, 2).may_send(5)
    assert started().may_send(5)
    assert not started().may_send(0)


def test_the_window_bounds_what_is_under_way() -> None:
    sending = started()
    sending.note_sent(1, 0)
    sending.note_sent(3, 0)
    assert not sending.may_send(9)
    sending.acknowledge(1, 2, False, 5)
    assert sending.may_send(9)
    sending.acknowledge(1, 1, False, 6)
    assert not sending.may_send(9)
    sending.acknowledge(3, 0, True, 7)
    assert not sending.may_send(9), "no credit"


def test_what_is_not_acknowledged_is_overdue_each_time_later() -> None:
    sending = started()
    sending.note_sent(1, 100)
    assert not sending.overdue(100 + PACE.resend - 1)
    now = 100 + PACE.resend
    waits = []
    for _ in range(6):
        assert sending.overdue(now)
        sending.rewind(sending.acked, now)
        sending.note_sent(1, now)
        waits.append(sending.wait)
        now += sending.wait
    assert waits == [800, 1600, 2000, 2000, 2000, 2000]
    sending.acknowledge(1, 2, False, now)
    assert sending.wait == PACE.resend
    assert not sending.overdue(now + 10**6)


def test_many_complaints_rewind_once() -> None:
    sending = started()
    sending.note_sent(4, 1000)
    assert sending.rewind(0, 1000)
    sending.note_sent(4, 1000)
    assert not sending.rewind(0, 1001)
    assert sending.rewind(0, 1100)


def test_an_old_acknowledgement_changes_nothing() -> None:
    sending = started()
    sending.note_sent(4, 0)
    sending.acknowledge(4, 2, True, 1)
    sending.acknowledge(2, 2, True, 2)
    assert (sending.acked, sending.sent, sending.under_way) == (4, 4, 0)
