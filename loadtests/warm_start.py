"""Programs from one process that has everything loaded, so that a start costs no imports.

    python -m loadtests.warm_start      told by lines of JSON what to start and whose end to tell

Each is a fork that goes on as `python WORD…` would. The orders of `call_faults`, if there are any,
hold from there on: what an interpreter does while it loads modules is not our doing.
"""

from __future__ import annotations

import atexit
import faulthandler
import functools
import gc
import json
import os
import runpy
import select
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from setproctitle import setproctitle

from loadtests import call_faults, processes
from loadtests.servers import ROOT, ServerFailed, Sipherd


def main() -> None:
    """Start what is asked for and say its process number, or say how a process has ended."""
    from workers import cli, lookups, roles, start, storage, timekeeper  # noqa: F401 - all of it
    from workers.clusterer import process as clusterer  # noqa: F401
    from workers.storage import process, setup  # noqa: F401

    faulthandler.register(signal.SIGVTALRM)
    setproctitle("warm start")  # where titles go is found out once, by the first environment
    gc.freeze()
    for line in sys.stdin:
        asked = json.loads(line)
        if "ended" in asked:
            answer = os.waitstatus_to_exitcode(os.waitpid(asked["ended"], 0)[1])
        elif (answer := os.fork()) == 0:
            be_program(asked)
        print(answer, flush=True)


def be_program(asked: dict[str, Any]) -> None:
    """Become what was asked for; does not return."""
    status = 1
    try:
        log = os.open(asked["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for there, here in ((nothing, 0), (log, 1), (log, 2)):
            os.dup2(there, here)
        os.closerange(3, max(log, nothing) + 1)
        if asked["environment"] is not None:
            os.environ.clear()
            os.environ.update(asked["environment"])
        mean_these(asked["who"])
        status = run(asked["words"])
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:  # noqa: BLE001 - the caller sees it by the status and in the log
        traceback.print_exc()
    finally:
        os._exit(status)


def run(words: list[str]) -> int:
    """What `python WORD…` does, of which `-m workers` is loaded."""
    sys.orig_argv = [sys.executable, *words]
    if words[:2] == ["-m", "workers"]:
        from workers import cli

        sys.argv = ["sipherd", *words[2:]]
        cli.main()
    else:
        sys.argv = words
        runpy.run_path(words[0], run_name="__main__")
    return 0


def mean_these(who: str) -> None:
    """Let the orders hold for the server alone, or for its children."""
    pid = os.getpid()
    chosen = {"itself": (pid, pid), "children": (pid + 1, call_faults.LAST)}
    if who:
        call_faults.mean(os.environ["FAILING_CALLS_FILE"], chosen[who])


class WarmProcess:
    """A program that was started so, as subprocess.Popen shows one."""

    def __init__(self, starter: WarmStarter, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._starter = starter
        self._fd = os.pidfd_open(pid)

    def poll(self) -> int | None:
        """Its exit status, or None while it runs."""
        return self._look(0.0)

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status, waited for."""
        status = self._look(timeout)
        if status is None:
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0.0)
        return status

    def _look(self, patience_s: float | None) -> int | None:
        if self.returncode is None:
            end = select.poll()
            end.register(self._fd, select.POLLIN)
            if end.poll(None if patience_s is None else 1e3 * patience_s):
                self.returncode = self._starter.say({"ended": self.pid})
                os.close(self._fd)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Tell it, if there is anybody to tell."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)


class WarmStarter:
    """The process that starts programs."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "loadtests.warm_start"],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._to, self._from = self._process.stdin, self._process.stdout

    def start(
        self,
        words: Sequence[str],
        log: Path,
        environment: Mapping[str, str] | None = None,
        who: str = "",
    ) -> WarmProcess:
        """Start `python WORD…`, which writes to `log`; without an environment, in this one's."""
        asked = {"words": [*words], "log": str(log), "environment": environment, "who": who}
        return WarmProcess(self, self.say(asked))

    def say(self, asked: Mapping[str, object]) -> int:
        """Ask for something, and the answer."""
        self._to.write(json.dumps(asked).encode() + b"\n")
        self._to.flush()
        return int(self._from.readline())

    def close(self) -> None:
        """End the process; whatever it has started should have ended before."""
        self._to.close()
        self._process.wait(10)
        self._from.close()


@functools.cache
def starter() -> WarmStarter:
    """The one of this process, for as long as it lives."""
    made = WarmStarter({})
    atexit.register(made.close)
    return made


class WarmSipherd(Sipherd):
    """A server by such a start."""

    def __init__(self, starter: WarmStarter, directory: Path, settings: str, port: int) -> None:
        super().__init__(directory, port=port, capacity=1_000, settings=settings)
        self._starter = starter
        self.warm: WarmProcess | None = None

    @property
    def pid(self) -> int:
        """The supervisor."""
        return self.warm.pid if self.warm else 0

    @property
    def exit_status(self) -> int | None:
        """How it has ended, if somebody has looked."""
        return self.warm.returncode if self.warm else None

    def begin(self, who: str = "") -> None:
        """Start it, and do not wait."""
        self.warm = self._starter.start(self.command()[1:], self.log_path, who=who)

    def has_ended(self, patience_s: float = 0.0) -> bool:
        """Whether it has, or does so in time."""
        with suppress(subprocess.TimeoutExpired):
            return self.warm is not None and self.warm.wait(patience_s) is not None
        return False

    def is_up(self, patience_s: float) -> bool:
        """Whether it comes to run; False when it ends or takes too long."""
        deadline = time.monotonic() + patience_s
        while f"supervisor[{self.pid}]: running" not in self.log:
            if self.has_ended() or time.monotonic() > deadline:
                return False
            time.sleep(0.005)
        return True

    def signal(self, number: int) -> None:
        """Tell the supervisor."""
        if self.warm is not None:
            self.warm.send_signal(number)

    def finish(self, patience_s: float = 20.0) -> int:
        """TERM, and the exit status; ServerFailed when it does not end."""
        self.signal(signal.SIGTERM)
        if not self.has_ended(patience_s):
            self.put_down()
            raise ServerFailed(f"no end {patience_s:.0f} s after SIGTERM")
        assert self.exit_status is not None
        return self.exit_status

    def put_down(self) -> None:
        """kill -9 to the supervisor; the kernel ends its children."""
        members = processes.tree(self.pid)
        self.signal(signal.SIGKILL)
        self.has_ended(10)
        deadline = time.monotonic() + 5
        while any(processes.alive(member) for member in members) and time.monotonic() < deadline:
            time.sleep(0.002)


if __name__ == "__main__":
    main()
