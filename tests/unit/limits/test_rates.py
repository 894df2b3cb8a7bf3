from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.limits.rates import estimate, is_among

COUNTS = st.integers(0, 2**32 - 1)


@given(COUNTS, COUNTS, st.integers(1, 10_000), st.data())
def test_the_past_interval_counts_by_what_is_left_of_it(
    previous: int, current: int, period: int, data: st.DataObject
) -> None:
    passed = data.draw(st.integers(0, period - 1))
    exact = previous * (period - passed) / period
    counted = estimate(previous, current, passed, period) - current
    assert exact - 1 <= counted <= exact
    assert counted < max(previous, 1)


@given(st.integers(0, 2**20), st.integers(0, 1_000), st.integers(1, 1_000))
def test_a_share_is_spread_evenly(first: int, part: int, whole: int) -> None:
    """Over any run of numbers, admitted are as many as the share says, give or take a few."""
    run = 500
    admitted = sum(is_among(number, part, whole) for number in range(first, first + run))
    assert abs(admitted - run * min(part / whole, 1)) <= 4


def test_all_and_none() -> None:
    assert all(is_among(number, 7, 7) for number in range(1000))
    assert not any(is_among(number, 0, 7) for number in range(1000))
    assert is_among(2**32 - 1, 2**32 - 1, 2**32 - 1)
