"""Who goes first when the machine is busy: the supervisor, and a child until it is up.

A UDP worker pushes nobody aside when it is woken: what comes meanwhile it takes in one batch.

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


def gather() -> None:
    """Wait for one's turn when woken (SCHED_BATCH): fewer, larger batches cost less each."""
    with suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def make_way() -> None:
    """Let whoever waits for this processor have it before the next stretch of work."""
    os.sched_yield()
