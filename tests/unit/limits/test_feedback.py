from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.limits.feedback import DROP_ALL, Course, Gains, resume, step

LOADS = st.floats(0, 1)


def test_ten_percent_too_much_drops_two_and_a_half_more_each_second() -> None:
    course, rates = Course(), []
    for _ in range(4):
        rate, course = step(Gains(), 0.5, 0.6, course)
        rates.append(rate)
    assert rates == [250, 500, 750, 1000]


def test_a_load_below_the_target_drops_nothing_and_saves_nothing_up() -> None:
    course = Course()
    for _ in range(1000):
        rate, course = step(Gains(), 0.9, 0.1, course)
        assert rate == 0
    assert step(Gains(), 0.5, 1.0, course)[0] == 1250


def test_it_recovers_from_refusing_everything_at_once() -> None:
    course = Course()
    for _ in range(1000):
        rate, course = step(Gains(), 0.1, 1.0, course)
    assert rate == DROP_ALL
    assert step(Gains(), 0.5, 0.4, course)[0] < DROP_ALL


@given(st.lists(LOADS, max_size=60), LOADS, st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_a_rate_is_a_share_whatever_the_gains(
    loads: list[float], target: float, ki: float, kp: float
) -> None:
    course = Course()
    for load in loads:
        rate, course = step(Gains(ki, kp, 0.0), target, load, course)
        assert 0 <= rate <= DROP_ALL


def test_a_controller_settles_where_the_load_is_on_target() -> None:
    """The load follows what is admitted; offered would be twice what the target bears."""
    course, rate = Course(), 0
    for _ in range(200):
        rate, course = step(Gains(), 0.5, 1.0 - rate / DROP_ALL, course)
    assert abs(rate - DROP_ALL / 2) < 200


def test_a_new_timekeeper_goes_on_from_the_rate_in_force() -> None:
    gains = Gains()
    assert step(gains, 0.5, 0.5, resume(gains, 4000))[0] == 4000
    assert resume(Gains(0.0), 4000) == Course()
