"""Slopes of what a run has noted."""

from __future__ import annotations

import pytest

from loadtests.samples import Sample, growth, growths


def sample(at: float, **memory: int) -> Sample:
    return Sample(at, memory, dict.fromkeys(memory, 3), {})


def test_a_line_that_climbs() -> None:
    points = [(float(at), 100.0 + 2 * at) for at in range(50)]
    assert growth(points) == pytest.approx(98)
    assert growth([(at, -value) for at, value in points]) == pytest.approx(-98)


def test_noise_about_a_level_is_no_growth() -> None:
    points = [(float(at), 100.0 + (-1) ** at) for at in range(100)]
    assert abs(growth(points)) < 0.5


def test_too_few_points_tell_nothing() -> None:
    assert growth([]) == 0
    assert growth([(1.0, 5.0)]) == 0


def test_only_the_second_half_counts_and_only_who_was_always_there() -> None:
    begun = [sample(float(at), worker=1_000 * at) for at in range(10)]
    later = [sample(float(at), worker=10_000, other=7) for at in range(10, 19)]
    assert growths([*begun, *later, sample(19.0, worker=10_000)], lambda s: s.memory) == {
        "worker": 0
    }
    assert growths(later, lambda s: s.descriptors) == {"worker": 0, "other": 0}
    assert growths([], lambda s: s.memory) == {}
