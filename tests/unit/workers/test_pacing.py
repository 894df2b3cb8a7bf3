"""When the clusterer looks at what changed, and when it sleeps instead."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from workers.clusterer.pacing import (
    LONG_NS,
    LONGEST_NAP_MS,
    MANY,
    NAP_TAKING_MS,
    NAPS_PER_TURN,
    SPARED_MS,
    TICK_MS,
    Pacing,
)


def looks(pacing: Pacing, asked: list[int]) -> list[int]:
    """When it looks if it is asked to at these moments, one after the other."""
    found: list[int] = []
    for moment in asked:
        now = max(moment, pacing.free_at, found[-1] if found else 0)
        pacing.looked(now)
        found.append(now)
    return found


def test_after_quiet_some_are_at_once_and_then_one_each_millisecond() -> None:
    found = looks(Pacing(), [1_000] * 10)
    saved = SPARED_MS // TICK_MS + 1
    assert found[:saved] == [1_000] * saved
    assert found[saved:] == [1_000 + TICK_MS * n for n in range(1, 11 - saved)]


@given(st.lists(st.integers(1, 60), min_size=1, max_size=80).map(sorted))
def test_there_are_never_more_than_were_saved_up_and_one_each_millisecond(asked: list[int]) -> None:
    found = looks(Pacing(), asked)
    for begin, first in enumerate(found):
        for count, last in enumerate(found[begin:], 1):
            assert count <= (last - first + SPARED_MS) // TICK_MS + 1


def test_many_looks_before_their_time_put_off_the_next_no_further() -> None:
    pacing = Pacing()
    for _ in range(1_000):
        pacing.looked(5_000)
    assert pacing.free_at == 5_000 + TICK_MS


def test_it_naps_after_a_turn_with_much_to_do() -> None:
    pacing = Pacing()
    assert pacing.nap(MANY - 1, MANY - 1, 1_000_000) == 0
    assert pacing.nap(2 * MANY - 1, MANY, 3_000_000) == 2 * NAPS_PER_TURN
    assert pacing.nap(2 * MANY, 2 * MANY, 4_000_000) == NAP_TAKING_MS
    assert pacing.nap(2 * MANY, 2 * MANY, 4_000_000) == 0


def test_it_knows_after_which_turn_others_should_have_the_processor() -> None:
    pacing = Pacing()
    found = []
    for used_ns in (LONG_NS - 1, 2 * LONG_NS - 1, 2 * LONG_NS):
        pacing.nap(0, 0, used_ns)
        found.append(pacing.was_long)
    assert found == [False, True, False]


def test_a_nap_has_bounds() -> None:
    pacing = Pacing()
    assert pacing.nap(MANY, 0, 90_000_000) == LONGEST_NAP_MS
    assert pacing.nap(2 * MANY, 0, 90_001_000) == NAP_TAKING_MS
