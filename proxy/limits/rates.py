"""The arithmetic of rate limits: plain functions of counts and times, in whole numbers."""

from __future__ import annotations

_GOLDEN = 2_654_435_769  # 2**32 divided by the golden ratio
_LOW = 0xFFFFFFFF


def estimate(previous: int, current: int, passed: int, period: int) -> int:
    """How many fell into the last `period`, of which the newest `passed` is the current one.

    Those of the previous period are taken as evenly spread, so that the count slides and does not
    drop to nothing at an edge. One that may just have left is not counted: a steady stream at the
    very limit is never refused.
    """
    if previous == 0:
        return current
    return current + (previous * (period - passed) - 1) // period


def is_among(number: int, part: int, whole: int) -> bool:
    """Whether the `number`-th is one of `part` out of `whole`, which are evenly spread.

    Multiples of the golden ratio fill the unit interval as evenly as can be, for every share and
    also while the share changes.
    """
    return ((number * _GOLDEN) & _LOW) * whole < part << 32
