"""The server on which calls fail, a telephone booth before it, and what must be true afterwards."""

from __future__ import annotations

import os
import re
import shutil
import signal
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from loadtests import processes
from loadtests.booth import Booth
from loadtests.call_faults import CallFaults
from loadtests.ports import free_port
from loadtests.servers import DOMAIN
from loadtests.warm_start import WarmSipherd, WarmStarter
from proxy.errors import SipherdError
from proxy.shm.repair import check
from workers.control_client import ask
from workers.storage.setup import create
from workers.tables import LOCATION

WORKERS: Final = 2
RECOVERY_S: Final = 45.0  # timers of 32 s may have to run out before an old worker goes
UP_S: Final = 20.0
FEW_DEATHS: Final = 3  # of one server: more of them soon after each other are replaced slowly
PROBES: Final = 4
ANSWER_S: Final = 5.0  # for a command
BEFORE: Final = [f"before{number}" for number in range(10)]  # users that are never touched again
SETTINGS: Final = """
[dialog]
enabled = true
capacity = 1000
cdr_file = "{folder}/cdr.jsonl"
[log]
level = "info"
"""
SQLITE: Final = """
[storage]
urls = ["sqlite:///{folder}/sipherd.db"]
mode = "single-instance-sql-write-through"
wait_seconds = 2
"""
_SENTENCE: Final = re.compile(r"^\S+Z (error|warning) ", re.MULTILINE)
_DEATH: Final = re.compile(r": process (replaced|ended) ")
_TRACE: Final = "Traceback (most recent call last)"
_NOT_OURS: Final = (
    "Exception ignored in",  # an interpreter's own at a fork: it goes on
    "SystemError: error return without exception set",  # and when it compiles without memory
)


@dataclass
class Outcome:
    """What came of one fault."""

    failed: bool = False  # the call was made, and failed
    refused: bool = False  # what was asked for was not done
    deaths: int = 0
    problems: list[str] = field(default_factory=list)
    log: list[str] = field(default_factory=list)


class Bench:
    """Where scenarios are played; the server goes on from one to the next as long as it is well."""

    def __init__(self, faults: CallFaults, starter: WarmStarter, folder: Path) -> None:
        self.faults, self._starter, self._folder = faults, starter, folder
        self.port = free_port()
        self.server: WarmSipherd | None = None
        self.booth = Booth(("127.0.0.1", self.port))
        self.stored = False
        self._deaths = 0
        self._mark = 0
        self._number = 0
        self._kept: Path | None = None

    # -- servers -----------------------------------------------------------------------------------

    def fresh(self, stored: bool = False, kept: Path | None = None) -> WarmSipherd:
        """A server that is not started yet, in a folder of its own; perhaps with old tables."""
        self.discard()
        self._number += 1
        folder = self._folder / str(self._number)
        folder.mkdir()
        settings = (SETTINGS + (SQLITE if stored else "")).format(folder=folder)
        if stored:
            create(f"sqlite:///{folder}/sipherd.db")
        self.server = WarmSipherd(self._starter, folder, settings, self.port)
        if kept is not None:
            shutil.copytree(kept, self.server.runtime_dir, dirs_exist_ok=True)
        self.stored, self._deaths, self._mark = stored, 0, 0
        self.booth.registered = dict.fromkeys(BEFORE, True) if kept is not None else {}
        return self.server

    def ready(self, stored: bool) -> WarmSipherd:
        """A server that runs and has some users."""
        if self.server is not None and self.stored == stored and self._deaths <= FEW_DEATHS:
            return self.server
        server = self.fresh(stored)
        server.begin()
        assert server.is_up(UP_S), server.log
        for user in BEFORE:
            assert self.booth.register(user) == 200, server.log
        return server

    def left_behind(self) -> Path:
        """The files of a server that was killed with its users registered."""
        if self._kept is None:
            server = self.ready(stored=False)
            server.put_down()
            self._kept = self._folder / "kept"
            shutil.copytree(server.runtime_dir, self._kept, ignore=shutil.ignore_patterns("*.sock"))
            self.discard()
        return self._kept

    def discard(self) -> None:
        """End the server that is there, and forget it."""
        self.faults.stop()
        server, self.server = self.server, None
        if server is not None:
            if not server.has_ended():
                server.put_down()
            shutil.rmtree(server.directory)

    # -- what is seen ------------------------------------------------------------------------------

    @property
    def running(self) -> WarmSipherd:
        """The server that is there."""
        assert self.server is not None
        return self.server

    def mark(self) -> None:
        """What the log says from now on is about what comes now."""
        self._mark = len(self.running.log)

    def said(self) -> str:
        """The log since the mark."""
        return self.running.log[self._mark :]

    def children(self) -> dict[str, int]:
        """The supervisor's children by their titles."""
        found = {processes.title(pid): pid for pid in processes.children(self.running.pid)}
        return {title.removeprefix("sipherd: "): pid for title, pid in found.items()}

    def workers(self) -> list[int]:
        """The UDP workers, whatever their numbers."""
        return [pid for title, pid in self.children().items() if title.startswith("udp worker")]

    def is_whole(self, titles: set[str]) -> bool:
        """Whether these are the processes that a server has."""
        others = {title for title in titles if not title.startswith("udp worker")}
        wanted = {"timekeeper", "control"} | ({"storage"} if self.stored else set())
        return others == wanted and len(titles - others) == WORKERS

    def all_there(self) -> bool:
        """Whether each child is there, and nobody besides, and control answers."""
        found = self.children()
        if not self.is_whole(set(found)) or set(processes.children(self.running.pid)) != {
            *found.values()
        }:
            return False
        answer = self.control("ps", {})
        rows = answer["Processes"] if answer else []
        return self.is_whole({row["Type"] for row in rows} - {"supervisor"})

    # -- what must be true -------------------------------------------------------------------------

    def judge(self, outcome: Outcome) -> None:
        """Look whether the server is as it must be after a fault."""
        text = self.said()
        deaths = len(_DEATH.findall(text))
        if has_traceback(text):
            outcome.problems.append("the log has a traceback")
        if self.running.has_ended():
            outcome.problems.append(f"the server ended with status {self.running.exit_status}")
        else:
            outcome.problems += self._serves()
            deaths = len(_DEATH.findall(self.said()))
        # Of one cause a process says it now and then only: then an earlier line is about this too.
        if outcome.refused and not _SENTENCE.search(self.running.log):
            outcome.problems.append("something was not done, and no line says why")
        outcome.deaths = deaths
        self._deaths += deaths
        outcome.log = self.said().splitlines()

    def _serves(self) -> list[str]:
        deadline = time.monotonic() + RECOVERY_S
        while not self.all_there():
            if time.monotonic() > deadline:
                return [f"not all processes are there: {sorted(self.children())}"]
            if self.running.has_ended():
                return [f"the server ended with status {self.running.exit_status}"]
            time.sleep(0.01)
        problems = []
        statuses = [self.booth.options() for _ in range(PROBES)]
        if set(statuses) != {200}:
            problems.append(f"OPTIONS were answered {statuses}")
        while (status := self.booth.register("probe")) != 200:
            if time.monotonic() > deadline:
                return [*problems, f"REGISTER was answered {status}"]
        return problems + self._keeps(deadline)

    def _keeps(self, deadline: float) -> list[str]:
        """Whether what was promised is in the tables."""
        problems = []
        table = self.running.runtime_dir / LOCATION
        if faults := check(str(table)).faults:
            problems.append(f"{table.name}: {faults}")
        bad = [path.name for path in table.parent.glob("*.bad-*")]
        if bad and self.booth.registered.keys() >= {*BEFORE}:
            problems.append(f"put aside: {bad}")
        while (answer := self.control("ul_dump", {})) is None:  # control may die a little later
            if time.monotonic() > deadline:
                return [*problems, "ul_dump is not answered"]
        dump = answer["Domains"][0]["AORs"]
        shown = {row["AOR"].partition("@")[0] for row in dump if row["Contacts"]}
        for user, there in self.booth.registered.items():
            if there != (user in shown):
                problems.append(f"{user}@{DOMAIN} should be {'there' if there else 'gone'}")
        return problems

    def kill_worker(self) -> int:
        """kill -9 of a worker; its number."""
        victim = min(self.workers())
        os.kill(victim, signal.SIGKILL)
        return victim

    def control(self, method: str, params: dict[str, Any]) -> Any:
        """A command; None when it failed."""
        with suppress(SipherdError):
            return ask(self.running.runtime_dir, method, params, ANSWER_S).get("result")
        return None


def has_traceback(text: str) -> bool:
    """Whether something of ours was raised that nobody caught."""
    return text.count(_TRACE) > sum(map(text.count, _NOT_OURS))
