"""Timers fire at their moment, in their order, and never come back."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.transaction.timers import Timed, TimerConfig, Timers


class Bell(Timed):
    """Notes when it rang, by which timer."""

    def __init__(self) -> None:
        self.rings: list[tuple[int, float]] = []

    def fire(self, timer: int, now: float) -> None:
        self.rings.append((timer, now))


class Snooze(Bell):
    """Starts itself anew when it rings."""

    def __init__(self, timers: Timers, times: int) -> None:
        super().__init__()
        self.timers = timers
        self.times = times

    def fire(self, timer: int, now: float) -> None:
        super().fire(timer, now)
        if self.times:
            self.times -= 1
            self.timers.start(now, 0.5, self, timer)


def test_the_base_values_are_those_of_table_4() -> None:
    config = TimerConfig()
    assert (config.t1, config.t2, config.t4) == (0.5, 4.0, 5.0)
    assert config.timer_c > 180  # §16.6 step 11


def test_nothing_started_nothing_due() -> None:
    timers = Timers()
    assert timers.next_deadline() is None
    assert timers.fire_due(1e9) == 0
    assert len(timers) == 0


def test_a_timer_fires_once_at_its_deadline_and_not_before() -> None:
    timers, bell = Timers(), Bell()
    timers.start(100.0, 0.5, bell, 7)
    assert timers.next_deadline() == 100.5
    assert timers.fire_due(100.4999) == 0
    assert timers.fire_due(100.5) == 1
    assert timers.fire_due(200.0) == 0
    assert bell.rings == [(7, 100.5)]
    assert timers.next_deadline() is None


def test_a_timer_started_by_a_timer_waits_its_own_time() -> None:
    timers = Timers()
    bell = Snooze(timers, 2)
    timers.start(0.0, 0.5, bell, 1)
    assert timers.fire_due(10.0) == 1  # the turn was late: what it starts is due later still
    assert timers.next_deadline() == 10.5
    assert timers.fire_due(10.5) == 1
    assert timers.fire_due(11.0) == 1
    assert len(timers) == 0


@given(
    st.lists(
        st.tuples(
            st.floats(0, 100, allow_nan=False), st.sampled_from([0.5, 1.0, 2.0, 4.0, 5.0, 32.0])
        ),
        max_size=40,
    ),
    st.lists(st.floats(0, 200), max_size=10),
)
def test_whatever_is_started_fires_by_its_deadline(
    starts: list[tuple[float, float]], looks: list[float]
) -> None:
    timers, bell = Timers(), Bell()
    starts.sort()
    for number, (now, duration) in enumerate(starts):
        timers.start(now, duration, bell, number)
    deadlines = [now + duration for now, duration in starts]
    assert timers.next_deadline() == min(deadlines, default=None)
    for now in [*sorted(looks), 1000.0]:
        timers.fire_due(now)
        fired = {number for number, _ in bell.rings}
        assert fired == {number for number, deadline in enumerate(deadlines) if deadline <= now}
    assert len(bell.rings) == len(starts)
    assert len(timers) == 0


class Broken(Bell):
    """Fails when it rings."""

    def fire(self, timer: int, now: float) -> None:
        super().fire(timer, now)
        raise RuntimeError("broken")


def test_one_that_fails_costs_none_of_those_started_with_it() -> None:
    timers, before, broken, after = Timers(), Bell(), Broken(), Bell()
    for bell in (before, broken, after):
        timers.start(0.0, 0.5, bell, 1)
    assert len(timers) == 3
    with pytest.raises(RuntimeError):
        timers.fire_due(1.0)
    assert len(timers) == 1
    assert timers.fire_due(1.0) == 1
    assert len(timers) == 0
    assert [len(bell.rings) for bell in (before, broken, after)] == [1, 1, 1]


def test_the_last_may_fail_and_more_may_come() -> None:
    timers, broken, after = Timers(), Broken(), Bell()
    timers.start(0.0, 0.5, broken, 1)
    with pytest.raises(RuntimeError):
        timers.fire_due(1.0)
    timers.start(0.0, 0.5, after, 2)
    timers.start(1.0, 0.5, after, 3)
    assert timers.fire_due(1.0) == 1
    assert timers.fire_due(2.0) == 1
    assert after.rings == [(2, 1.0), (3, 2.0)]


def test_nobody_is_held_on_to_after_the_last_timer() -> None:
    timers, bell = Timers(), Bell()
    holders = sys.getrefcount(bell)
    for _ in range(3):
        timers.start(0.0, 0.5, bell, 1)
    assert timers.fire_due(1.0) == 3
    assert sys.getrefcount(bell) == holders
