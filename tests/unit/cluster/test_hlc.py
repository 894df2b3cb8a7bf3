"""Versions only ever rise, whatever the wall clock does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.cluster.hlc import HybridClock, counter, milliseconds
from proxy.errors import ClockExhausted

LAST = 2**64 - 1
WALLS = st.integers(0, 2**48 - 2)


def test_a_version_is_milliseconds_and_counter() -> None:
    clock = HybridClock()
    first, second, third = clock.tick(1000), clock.tick(1000), clock.tick(1001)
    assert (milliseconds(first), counter(first)) == (1000, 0)
    assert (milliseconds(second), counter(second)) == (1000, 1)
    assert (milliseconds(third), counter(third)) == (1001, 0)


def test_a_wall_clock_that_goes_back_costs_nothing_but_counter() -> None:
    clock = HybridClock()
    before = clock.tick(5_000)
    assert clock.tick(10) == before + 1


def test_a_full_counter_carries_into_the_milliseconds() -> None:
    clock = HybridClock()
    clock.observe(7 << 16 | 0xFFFF, 7)
    version = clock.tick(7)
    assert (milliseconds(version), counter(version)) == (8, 0)


def test_the_floor_is_passed_even_by_a_slow_clock() -> None:
    clock = HybridClock()
    floor = 9_000 << 16 | 5
    assert clock.tick(1_000, floor) == floor + 1
    assert clock.tick(1_000) == floor + 2


@pytest.mark.parametrize(
    ("lead", "adopted"), [(0, True), (60_000, True), (60_001, False), (10**9, False)]
)
def test_a_peer_may_lead_only_so_far(lead: int, adopted: bool) -> None:
    clock = HybridClock(max_lead_ms=60_000)
    mine = clock.tick(1_000)
    theirs = (1_000 + lead) << 16 | 3
    assert clock.observe(theirs, 1_000) is adopted
    assert clock.rejected == (0 if adopted else 1)
    assert clock.last == (max(mine, theirs) if adopted else mine)


def test_an_older_version_changes_nothing() -> None:
    clock = HybridClock()
    mine = clock.tick(1_000)
    assert clock.observe(5, 1_000)
    assert clock.last == mine


def test_there_is_a_last_version() -> None:
    clock = HybridClock()
    assert clock.tick(1, LAST - 1) == LAST
    with pytest.raises(ClockExhausted):
        clock.tick(1)


def test_a_negative_lead_is_refused() -> None:
    with pytest.raises((ValueError, OverflowError)):
        HybridClock(max_lead_ms=-1)


@given(st.lists(st.tuples(WALLS, st.integers(0, 2**63)), min_size=1, max_size=50))
def test_ticks_rise_above_everything(steps: list[tuple[int, int]]) -> None:
    clock = HybridClock()
    previous = 0
    for wall, floor in steps:
        version = clock.tick(wall, floor)
        assert version > previous
        assert version > floor
        assert version >= wall << 16
        previous = version


@given(st.lists(st.tuples(st.booleans(), WALLS, WALLS), max_size=50))
def test_what_was_observed_stays_below_the_next_tick(steps: list[tuple[bool, int, int]]) -> None:
    clock = HybridClock()
    seen = 0
    for observes, wall, theirs in steps:
        if observes:
            if clock.observe(theirs << 16, wall):
                seen = max(seen, theirs << 16)
                assert theirs <= wall + clock.max_lead_ms
        else:
            version = clock.tick(wall)
            assert version > seen
            seen = version
