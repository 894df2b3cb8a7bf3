"""Who goes first when the machine is busy: the supervisor, and a child until it is up.

A UDP worker pushes nobody aside when it is woken: what comes meanwhile it takes in one batch. Who
tries a new configuration is pushed aside by everybody.

To replace a worker takes a few milliseconds of work. Behind a queue of busy processes that becomes
a tenth of a second, while calls wait.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Final

AHEAD: Final = 10  # steps of nice
FIRST: Final = -20


def usual() -> int:
    """The nice value of this process."""
    return os.getpriority(os.PRIO_PROCESS, 0)


def go_first() -> None:
    """Be scheduled ahead of others; children begin with it too. Needs CAP_SYS_NICE or LimitNICE."""
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, max(FIRST, usual() - AHEAD))


def go_along(nice: int) -> None:
    """Be one among others again."""
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, nice)


def step_back(nice: int) -> None:
    """Run only while nobody else wants to (SCHED_IDLE), until `hurry`."""
    may_come_back = usual() < nice  # who may not go ahead could not be brought back either
    go_along(nice)
    if may_come_back:
        with suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def hurry(pid: int) -> None:
    """Give a process that has stepped back its share of a busy machine; it may be gone already."""
    with suppress(OSError):
        os.sched_setscheduler(pid, os.SCHED_OTHER, os.sched_param(0))


def gather() -> None:
    """Wait for one's turn when woken (SCHED_BATCH): fewer, larger batches cost less each."""
    with suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def make_way() -> None:
    """Let whoever waits for this processor have it before the next stretch of work."""
    os.sched_yield()
