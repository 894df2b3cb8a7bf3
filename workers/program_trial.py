"""Another version of the program on trial: a process of its own that is given everything, and ends.

It reads the configuration, maps the files, compiles the policy and runs its self-test. What it has
to say comes through a pipe: its version, or why it cannot take over.
"""

from __future__ import annotations

import os
import traceback
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

import orjson

from proxy.errors import SipherdError
from workers import handover, priority, signals
from workers.child import ExitCode
from workers.handover import Handover
from workers.inheriting import TRIAL, VARIABLE
from workers.system import REFUSED
from workers.version import VERSION

if TYPE_CHECKING:
    from workers.child import Exit
    from workers.program import Program
    from workers.system import System

SAID_BYTES: Final = 65_536  # a pipe full; one that says more is held up until its time is over
SENTENCE: Final = 600


class Unfit(SipherdError):
    """A version that cannot take over."""


@dataclass(frozen=True, slots=True)
class ProgramTrial:
    """A trial that is under way."""

    pid: int
    said: int  # the pipe

    def verdict(self, exit: Exit) -> str:
        """The version that can take over. Raises Unfit with its own words where it cannot."""
        try:
            lines = os.read(self.said, SAID_BYTES).decode(errors="replace").split("\n")
        except BlockingIOError:
            lines = []
        os.close(self.said)
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        if exit.code != 0:
            raise Unfit(f"{last[-SENTENCE:] or 'it said nothing'} ({exit})")
        try:
            return str(orjson.loads(last)["version"])
        except (orjson.JSONDecodeError, KeyError, TypeError):
            raise Unfit("it does not know how to take over from a running server") from None


def begin(program: Program, state: Handover, system: System, nice: int) -> ProgramTrial:
    """Start a trial. Raises OSError where there is no room for one more process."""
    supervisor = os.getpid()
    said, write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    fd = handover.write(state)
    try:
        pid = system.fork(partial(_be_trial, program, state, fd, write, supervisor, nice))
    except REFUSED:
        os.close(said)
        raise
    finally:
        os.close(fd)
        os.close(write)
    return ProgramTrial(pid, said)


def _be_trial(
    program: Program, state: Handover, fd: int, write: int, supervisor: int, nice: int
) -> int:
    try:
        os.set_blocking(write, True)
        signals.die_with_parent(supervisor)
        signals.enter_child()
        priority.go_along(nice)
        os.dup2(write, 1)
        os.dup2(write, 2)
        environment = {VARIABLE: str(fd), TRIAL: "1"}
        program.take_over(environment, [fd, *state.descriptors()])
    except BaseException:  # noqa: BLE001 - here ends everything that it has
        traceback.print_exc()
    return ExitCode.CRASHED


def say_ready() -> None:
    """The trial's last word."""
    print(orjson.dumps({"version": VERSION}).decode(), flush=True)
