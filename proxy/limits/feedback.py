"""The controller of FEEDBACK pipes: how much to refuse so that the load comes to its target."""

from __future__ import annotations

from typing import Final, NamedTuple

DROP_ALL: Final = 10_000  # drop rates are in hundredths of a percent


class Gains(NamedTuple):
    """What the controller makes of the error, its sum and its change, in percent per unit."""

    ki: float = -25.0
    kp: float = 0.0
    kd: float = 0.0


class Course(NamedTuple):
    """What the controller remembers between two steps."""

    total: float = 0.0
    last: float = 0.0


def step(gains: Gains, target: float, load: float, course: Course) -> tuple[int, Course]:
    """The drop rate for the next second; `target` and `load` are shares of the machine, 0 to 1.

    The sum does not grow above zero: an idle hour must not have to be made good by a busy one. Nor
    does it fall further than "refuse everything" takes, so that it recovers at once.
    """
    error = target - load
    total = min(0.0, course.total + error) if course.total < 0 or error < 0 else course.total
    if gains.ki < 0:
        total = max(total, 100.0 / gains.ki)
    percent = gains.kp * error + gains.ki * total + gains.kd * (error - course.last)
    return round(min(max(percent, 0.0), 100.0) * DROP_ALL / 100), Course(total, error)


def resume(gains: Gains, drop_rate: int) -> Course:
    """Where a controller goes on that has lost its memory: from the drop rate in force."""
    percent = drop_rate * 100 / DROP_ALL
    return Course(percent / gains.ki if gains.ki < 0 else 0.0)
