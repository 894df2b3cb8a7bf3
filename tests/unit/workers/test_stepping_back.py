"""Who goes first on a busy machine, asked of the system itself."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from workers import priority


@contextmanager
def process(act: Callable[[], None]) -> Iterator[int]:
    """A process that has done `act`, and stays until the block ends."""
    done, tell = os.pipe()
    stay, leave = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.close(leave)
            act()
            os.write(tell, b".")
            os.read(stay, 1)
        finally:
            os._exit(0)
    for fd in (tell, stay):
        os.close(fd)
    try:
        assert os.read(done, 1) == b"."
        yield pid
    finally:
        os.close(leave)
        os.close(done)
        os.waitpid(pid, 0)


def may_go_ahead() -> bool:
    """Whether this system lets us."""
    with process(priority.go_first) as pid:
        return os.getpriority(os.PRIO_PROCESS, pid) < priority.usual()


def test_who_steps_back_runs_when_nobody_else_wants_to_until_it_has_to_hurry() -> None:
    if not may_go_ahead():
        pytest.skip("needs CAP_SYS_NICE")
    nice = priority.usual()

    def act() -> None:
        priority.go_first()
        priority.step_back(nice)

    with process(act) as pid:
        assert os.sched_getscheduler(pid) == os.SCHED_IDLE
        assert os.getpriority(os.PRIO_PROCESS, pid) == nice
        priority.hurry(pid)
        assert os.sched_getscheduler(pid) == os.SCHED_OTHER
        assert os.getpriority(os.PRIO_PROCESS, pid) == nice


def test_who_could_not_be_brought_back_does_not_step_back() -> None:
    with process(lambda: priority.step_back(priority.usual())) as pid:
        assert os.sched_getscheduler(pid) == os.SCHED_OTHER


def test_to_hurry_who_is_gone_is_no_mistake() -> None:
    with process(lambda: None) as pid:
        pass
    priority.hurry(pid)
