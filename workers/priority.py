"""Who goes first when the machine is busy: the supervisor, and a child until it is up.

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
