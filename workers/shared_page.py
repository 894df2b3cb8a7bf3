"""One page without a name that all processes of a node share: the log level of each.

It is mapped by the supervisor before the first fork. A level is one byte, and a reader that sees
the old one a moment longer loses nothing, so there is no lock.
"""

from __future__ import annotations

import mmap
import os
from typing import Final

from proxy.shm.places import PLACES

FIRST_WORKER_ROW: Final = 16  # place 0 of the workers; before it those who are none
ROWS: Final = FIRST_WORKER_ROW + PLACES  # processes of one node
LEVELS: Final = {"error": -1, "warning": 1, "notice": 2, "info": 3, "debug": 4}  # OpenSIPS' numbers
_SHIFT: Final = 8  # levels are stored as unsigned bytes


class SharedPage:
    """The log level of every process."""

    def __init__(self, level: str = "info", fd: int | None = None) -> None:
        self.fd = shared_bytes(ROWS) if fd is None else os.dup(fd)
        self.levels = memoryview(mmap.mmap(self.fd, ROWS))
        if fd is None:
            self.set_level(LEVELS[level])

    def set_level(self, level: int, row: int | None = None) -> None:
        """Log up to `level` in process `row`, or in all of them."""
        for each in range(ROWS) if row is None else (row,):
            self.levels[each] = level + _SHIFT

    def level(self, row: int) -> int:
        """The log level of process `row`, as OpenSIPS numbers them."""
        return self.levels[row] - _SHIFT


def shared_bytes(size: int) -> int:
    """The descriptor of memory without a name: children map it, and so can another program."""
    fd = os.memfd_create("sipherd", os.MFD_CLOEXEC)
    os.truncate(fd, size)
    return fd


def threshold(level: str) -> int:
    """The stored byte from which on lines of `level` are written."""
    return LEVELS[level] + _SHIFT
