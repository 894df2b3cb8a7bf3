"""What the supervisor asks of the operating system, so that tests can give it another one."""

from __future__ import annotations

import contextlib
import os
import time
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from workers import priority
from workers.child import Exit, ExitCode
from workers.signals import Waiter

# What a refusal of the system is raised as; for want of memory the interpreter itself may fail.
REFUSED: Final = (OSError, MemoryError, SystemError)
_FAILED: Final = int(ExitCode.CRASHED)


class System(Protocol):
    """What the supervisor asks of the operating system; tests put a simulation here."""

    def now(self) -> float:
        """Monotonic seconds."""

    def fork(self, child: Callable[[], int]) -> int:
        """Have a new process run `child` and end with the status that it gives; its number."""

    def kill(self, pid: int, number: int) -> None:
        """Send a signal; a process that is gone already is no error."""

    def hurry(self, pid: int) -> None:
        """A child that has stepped back for others gets its share of the processors."""

    def reap(self, ended: deque[Exit]) -> None:
        """Append every child that has ended since the last call."""

    def wait(self, timeout_s: float | None, found: deque[int]) -> None:
        """Wait for signals, readable files or the timeout; append the signals that came."""


class RealSystem:
    """The operating system itself."""

    def __init__(self, waiter: Waiter) -> None:
        self.wait = waiter.wait
        self.now = time.monotonic
        self.hurry = priority.hurry

    def fork(self, child: Callable[[], int]) -> int:
        """Have a new process run `child`; its number.

        The new one waits until its number is known here: a fork may have been made when there is
        no memory for what it gives, and then nobody would know of the process.
        """
        known, tell = os.pipe2(os.O_CLOEXEC)
        pid, status = -1, _FAILED
        try:
            pid = os.fork()
            if pid:
                os.write(tell, b"1")
            else:
                os.close(tell)
                status = _run_if_known(known, child)
        finally:
            if pid == 0:
                os._exit(status)  # whatever was raised: nothing may unwind into the parent's frames
            os.close(known)
            os.close(tell)
        return pid

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


def _run_if_known(known: int, child: Callable[[], int]) -> int:
    told = os.read(known, 1)
    os.close(known)
    return child() if told else _FAILED


def reason_of(error: OSError | MemoryError | SystemError) -> str:
    """What the system has refused, in its own words."""
    if isinstance(error, OSError):
        return os.strerror(error.errno or 0)
    return "no memory" if isinstance(error, MemoryError) else f"no memory, or: {error}"
