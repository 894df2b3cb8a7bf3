"""Calls of the operating system that fail by order: which, the how manieth, in which processes.

`failing_calls.c` stands between a tree of processes and the C library. What it is to do lies in a
file that all of them map, so an order holds from one moment to the next for all of them.
"""

from __future__ import annotations

import errno
import mmap
import os
import struct
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

SOURCE: Final = Path(__file__).with_name("failing_calls.c")
# What fails, and what it says then. The C source takes its numbers from this order.
CALLS: Final[Mapping[str, int]] = {
    "malloc": errno.ENOMEM,
    "mmap": errno.ENOMEM,
    "open": errno.EMFILE,
    "read": errno.EIO,
    "write": errno.ENOSPC,
    "fsync": errno.EIO,
    "fallocate": errno.ENOSPC,
    "truncate": errno.EIO,
    "unlink": errno.EACCES,
    "lock": errno.ENOLCK,
    "fork": errno.EAGAIN,
    "pipe": errno.EMFILE,
    "eventfd": errno.EMFILE,
    "signalfd": errno.EMFILE,
    "poll": errno.ENOMEM,
    "epoll_create": errno.EMFILE,
    "epoll_ctl": errno.ENOMEM,
    "epoll_wait": errno.ENOMEM,
    "socket": errno.EMFILE,
    "setsockopt": errno.ENOMEM,
    "bind": errno.EADDRINUSE,
    "accept": errno.EMFILE,
    "recv": errno.ENOMEM,
    "send": errno.ENOBUFS,
    "recvmmsg": errno.ENOMEM,
    "sendmmsg": errno.ENOBUFS,
}
LAST: Final = 1 << 62  # no process has a higher number
_WHO: Final = struct.Struct("2q")  # the lowest and the highest number of the processes meant
_FAULT: Final = struct.Struct("5q")  # call, first, times, errno, how many failed
_SEEN: Final = struct.Struct(f"{len(CALLS) + 2}q")

Who = tuple[int, int]  # the lowest and the highest number of the processes meant


def build_library(folder: Path) -> Path:
    """The library that makes calls fail, compiled."""
    library = folder / "failing_calls.so"
    order = "-DCALLS=" + ",".join(call.upper() for call in CALLS)
    flags = ["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", order]
    subprocess.run(["cc", *flags, "-o", str(library), str(SOURCE), "-ldl"], check=True)
    return library


class CallFaults:
    """The orders of one tree of processes."""

    def __init__(self, path: Path) -> None:
        size = _WHO.size + _FAULT.size + _SEEN.size
        self.path = path
        path.write_bytes(bytes(size))
        with path.open("r+b") as file:
            self._page = mmap.mmap(file.fileno(), size)

    def environment(self, library: Path) -> dict[str, str]:
        """What a process needs to obey, and all that it forks."""
        return {"LD_PRELOAD": str(library), "FAILING_CALLS_FILE": str(self.path)}

    def order(self, call: str, first: int, times: int = 1) -> None:
        """Let the `first` such call fail, and the next ones, of the processes that are meant."""
        self.stop()
        number = list(CALLS).index(call) + 1 if call else 0
        _FAULT.pack_into(self._page, _WHO.size, number, first, times, CALLS.get(call, 0), 0)
        _SEEN.pack_into(self._page, _WHO.size + _FAULT.size, *bytes(len(CALLS) + 2))

    def mean(self, who: Who) -> None:
        """From now on these processes are meant."""
        _WHO.pack_into(self._page, 0, *who)

    def stop(self) -> None:
        """Let nothing fail any more."""
        _WHO.pack_into(self._page, 0, 0, 0)

    @property
    def seen(self) -> dict[str, int]:
        """How often the processes that were meant made each call since the order."""
        counts = _SEEN.unpack_from(self._page, _WHO.size + _FAULT.size)
        return dict(zip(CALLS, counts[1:-1], strict=True))

    @property
    def failed(self) -> int:
        """How many calls failed."""
        return int(_FAULT.unpack_from(self._page, _WHO.size)[4])


def mean(path: str, who: Who) -> None:
    """Have the orders in a file hold for these processes."""
    file = os.open(path, os.O_RDWR)
    try:
        os.pwrite(file, _WHO.pack(*who), 0)
    finally:
        os.close(file)
