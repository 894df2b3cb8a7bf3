"""Children that die on purpose."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from proxy.shm.arena import arm_crash


def spawn(action: Callable[[], object]) -> int:
    """Fork a child that runs `action` and leaves with 0, or 1 after a traceback."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        action()
        status = 0
    except BaseException:  # noqa: BLE001 - told to the parent by the exit status
        traceback.print_exc(file=sys.stderr)
    finally:
        os._exit(status)


def wait(pid: int) -> int:
    """The exit code of a child; -9 for one that was killed."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def run(action: Callable[[], object]) -> int:
    return wait(spawn(action))


def killed_at(store: int, action: Callable[..., object], *arguments: object) -> bool:
    """Run `action` in a child that dies before its n-th shared store; False when it got through."""

    def armed() -> None:
        arm_crash(store)
        action(*arguments)
        arm_crash(0)

    status = run(armed)
    assert status in (0, -signal.SIGKILL)
    return status != 0


@contextmanager
def family(*actions: Callable[[], object]) -> Iterator[list[int]]:
    """Children that are killed at the end if they are still there; the list may be changed."""
    pids = [spawn(action) for action in actions]
    try:
        yield pids
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            assert wait(pid) == -signal.SIGKILL
