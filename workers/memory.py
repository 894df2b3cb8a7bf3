"""Memory that goes back to the system when a flood is over.

The allocator keeps what it was once given, because a little of it is still in use. A worker that
was flooded for some seconds would be as large for ever as it was then.
"""

from __future__ import annotations

import ctypes
import resource
from collections.abc import Callable
from typing import Final

MIB: Final = 1 << 20
FLOOD: Final = 5_000  # places of transactions, some 2 kB each
SHARE: Final = 4  # what remains of a flood that counts as over: a quarter

_trim: Final[Callable[[int], int]] = getattr(ctypes.CDLL(None), "malloc_trim", int)  # glibc's


def bound(megabytes: int) -> None:
    """Let this process take so much memory of its own; shared files do not count."""
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    wanted = megabytes * MIB
    soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


class Ebb:
    """Watches how much is taken, and trims once after each flood."""

    def __init__(self, trim: Callable[[int], int] = _trim) -> None:
        self._trim = trim
        self._highest = 0

    def watch(self, taken: int) -> None:
        """Told every second or so how many places are taken."""
        if taken > self._highest:
            self._highest = taken
        elif self._highest >= FLOOD and taken * SHARE < self._highest:
            self._highest = taken
            self._trim(0)
