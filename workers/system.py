"""What the supervisor asks of the operating system, so that tests can give it another one."""

from __future__ import annotations

import contextlib
import os
import time
from collections import deque
from typing import Protocol

from workers.child import Exit
from workers.signals import Waiter


class System(Protocol):
    """What the supervisor asks of the operating system; tests put a simulation here."""

    def now(self) -> float:
        """Monotonic seconds."""

    def fork(self) -> int:
        """As os.fork."""

    def kill(self, pid: int, number: int) -> None:
        """Send a signal; a process that is gone already is no error."""

    def reap(self, ended: deque[Exit]) -> None:
        """Append every child that has ended since the last call."""

    def wait(self, timeout_s: float | None, found: deque[int]) -> None:
        """Wait for signals, readable files or the timeout; append the signals that came."""


class RealSystem:
    """The operating system itself."""

    def __init__(self, waiter: Waiter) -> None:
        self.wait = waiter.wait
        self.now = time.monotonic
        self.fork = os.fork

    def kill(self, pid: int, number: int) -> None:
        """Send a signal; a process that is gone already is no error."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)

    def reap(self, ended: deque[Exit]) -> None:
        """Append every child that has ended since the last call."""
        while True:
            try:
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if found is None:
                return
            if found.si_code == os.CLD_EXITED:
                ended.append(Exit(found.si_pid, found.si_status))
            else:
                ended.append(Exit(found.si_pid, None, found.si_status))
            os.waitpid(found.si_pid, os.WNOHANG)  # only now: who is reaped has been noted


def reason_of(error: OSError | MemoryError) -> str:
    """What the system has refused, in its own words."""
    return "no memory" if isinstance(error, MemoryError) else os.strerror(error.errno or 0)
