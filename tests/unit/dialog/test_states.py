"""The table of a dialog's states is complete and says what OpenSIPS does."""

from __future__ import annotations

import pytest

from proxy.dialog.states import END_WORDS, EVENTS, TABLE, EndReason, Event, State, flatten


@pytest.mark.parametrize("state", State)
def test_each_pair_is_listed(state: State) -> None:
    assert set(TABLE[state]) == set(Event)
    for event, to in TABLE[state].items():
        assert flatten()[state * EVENTS + event] == (to or 0)


@pytest.mark.parametrize(
    ("event", "states"),
    [
        (Event.PROVISIONAL, {1: 2, 2: 2}),
        (Event.SUCCESS, {1: 3, 2: 3, 5: 3}),
        (Event.SUCCESS_AFTER_BYE, {1: 3, 2: 3}),
        (Event.ACK, {3: 4}),
        (Event.BYE, {3: 5, 4: 5}),
        (Event.REQUEST, {}),
        (Event.CANCEL, {}),
        (Event.FAILURE, {1: 5, 2: 5}),
        (Event.GONE, {1: 5, 2: 5}),
        (Event.TIMEOUT, {3: 5, 4: 5}),
        (Event.TERMINATE, {1: 5, 2: 5, 3: 5, 4: 5}),
    ],
)
def test_what_an_event_does(event: Event, states: dict[int, int]) -> None:
    assert {int(s): int(to) for s in State if (to := TABLE[s][event]) is not None} == states


def test_each_reason_has_its_words() -> None:
    assert set(END_WORDS) == set(EndReason)
    assert END_WORDS[EndReason.DOWNSTREAM_BYE] == "Downstream BYE"
