"""Servers from one process that has everything loaded, so that a start costs no imports.

    python -m loadtests.warm_start      told by lines of JSON what to start, one after the other

Each server is a fork that calls the command line's `main`. The orders of `call_faults`, if there
are any, hold from there on: what an interpreter does while it loads modules is not our doing.
"""

from __future__ import annotations

import faulthandler
import json
import os
import select
import signal
import subprocess
import sys
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any

from loadtests import call_faults, processes
from loadtests.servers import ROOT, ServerFailed, Sipherd


def main() -> None:
    """Start what is asked for, say its process number, then its exit status."""
    from workers import cli, roles, start, storage, timekeeper  # noqa: F401 - what a start loads
    from workers.storage import process, setup  # noqa: F401

    faulthandler.register(signal.SIGVTALRM)
    for line in sys.stdin:
        asked = json.loads(line)
        pid = os.fork()
        if pid == 0:
            be_server(cli.main, asked)
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


def be_server(run: Any, asked: dict[str, Any]) -> None:
    """Become the server; does not return."""
    status = 70
    try:
        log = os.open(asked["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        os.dup2(log, 1)
        os.dup2(log, 2)
        sys.argv = ["sipherd", "run", "-c", asked["config"]]
        mean_these(asked["who"])
        run()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:  # noqa: BLE001 - the caller sees it by the status and in the log
        traceback.print_exc()
    finally:
        os._exit(status)


def mean_these(who: str) -> None:
    """Let the orders hold for the server alone, or for its children."""
    pid = os.getpid()
    chosen = {"itself": (pid, pid), "children": (pid + 1, call_faults.LAST)}
    if who:
        call_faults.mean(os.environ["FAILING_CALLS_FILE"], chosen[who])


class WarmStarter:
    """The process that starts servers, with the environment that they are to have."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "loadtests.warm_start"],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,  # what is known by select must not lie in a buffer
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._to, self._from = self._process.stdin, self._process.stdout

    def start(self, config: Path, log: Path, who: str) -> int:
        """Begin a server; its process number."""
        asked = {"config": str(config), "log": str(log), "who": who}
        self._to.write(json.dumps(asked).encode() + b"\n")
        self._to.flush()
        return int(self._from.readline())

    def ended(self, patience_s: float) -> int | None:
        """The exit status of the server, when it ends in time; to be asked once."""
        if not select.select([self._from], [], [], patience_s)[0]:
            return None
        return int(self._from.readline())

    def close(self) -> None:
        """End the process; there must be no server any more."""
        self._to.close()
        self._process.wait(10)
        self._from.close()


class WarmSipherd(Sipherd):
    """A server by such a start."""

    def __init__(self, starter: WarmStarter, directory: Path, settings: str, port: int) -> None:
        super().__init__(directory, port=port, capacity=1_000, settings=settings)
        self._starter = starter
        self._pid = 0
        self.exit_status: int | None = None

    @property
    def pid(self) -> int:
        """The supervisor."""
        return self._pid

    def begin(self, who: str = "") -> None:
        """Start it, and do not wait."""
        self.exit_status = None
        self._pid = self._starter.start(self.config_path, self.log_path, who)

    def has_ended(self, patience_s: float = 0.0) -> bool:
        """Whether it has, or does so in time."""
        if self.exit_status is None and self._pid:
            self.exit_status = self._starter.ended(patience_s)
        return self.exit_status is not None

    def is_up(self, patience_s: float) -> bool:
        """Whether it comes to run; False when it ends or takes too long."""
        deadline = time.monotonic() + patience_s
        while f"supervisor[{self._pid}]: running" not in self.log:
            if self.has_ended() or time.monotonic() > deadline:
                return False
            time.sleep(0.005)
        return True

    def signal(self, number: int) -> None:
        """Tell the supervisor."""
        with suppress(ProcessLookupError):
            os.kill(self._pid, number)

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
        members = processes.tree(self._pid)
        self.signal(signal.SIGKILL)
        self.has_ended(10)
        deadline = time.monotonic() + 5
        while any(processes.alive(member) for member in members) and time.monotonic() < deadline:
            time.sleep(0.002)


if __name__ == "__main__":
    main()
