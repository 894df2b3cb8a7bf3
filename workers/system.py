"""What the supervisor asks of the operating system."""

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

    def wait(self, timeout_s: float | None) -> list[int]:
        """Wait for signals, readable files or the timeout; the signals that came."""


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
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if os.WIFSIGNALED(status):
                ended.append(Exit(pid, None, os.WTERMSIG(status)))
            else:
                ended.append(Exit(pid, os.WEXITSTATUS(status)))
