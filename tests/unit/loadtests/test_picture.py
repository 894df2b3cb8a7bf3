"""The course of a run, second by second."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from loadtests.picture import Course, Second, draw, percentile


def run() -> Course:
    course = Course()
    for number in range(100):
        course.note(0.2, float(number), failed=number == 7)
    course.note(3.9, 5.0, failed=True)
    course.note(3.2, 7.0, failed=False)  # the clock of another greenlet
    course.close()
    return course


def test_seconds() -> None:
    busy, quiet = run().seconds
    assert busy == Second(0, 100, 1, (50.0, 95.0, 99.0))
    assert quiet == Second(3, 2, 1, (7.0, 7.0, 7.0))
    assert percentile([], 0.5) == 0.0


@pytest.mark.skipif(find_spec("matplotlib") is None, reason="needs matplotlib, of the extra `load`")
def test_the_picture_is_a_png(tmp_path: Path) -> None:
    course = run()
    draw(course, tmp_path / "run.png", "a run")
    plain = (tmp_path / "run.png").read_bytes()
    assert plain.startswith(b"\x89PNG")
    course.seconds.append(Second(4, 1, 0, (1.0, 1.0, 1.0), {"resent": 7}))
    draw(course, tmp_path / "run.png", "a run")
    assert len((tmp_path / "run.png").read_bytes()) > len(plain), "one diagram more, of events"
