"""The parts of a server's life in which its calls fail: whose calls, and what happens meanwhile."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from loadtests.call_faults import LAST, Who
from loadtests.faulty_server import UP_S, WORKERS, Bench, Outcome, has_traceback
from loadtests.servers import ServerFailed

NOT_NOW: Final = 1 << 60  # a number that no call has
DEADLINE_S: Final = 15.0
GENERATION_S: Final = 60.0  # 30 of them for a worker that never comes up
USERS: Final = 6


def supervisor(bench: Bench) -> Who:
    return bench.running.pid, bench.running.pid


def workers(bench: Bench) -> Who:
    return min(bench.workers()), max(bench.workers())


def children(bench: Bench) -> Who:
    pids = bench.children().values()
    return min(pids), max(pids)


def newborn(bench: Bench) -> Who:
    """Who is forked from now on; numbers that have come to their end begin anew."""
    last = int(Path("/proc/loadavg").read_text().split()[-1])
    family = [bench.running.pid, *bench.children().values()]
    return last + 1, min((pid for pid in family if pid > last), default=LAST) - 1


def control(bench: Bench) -> Who:
    pid = bench.children()["control"]
    return pid, pid


def storage(bench: Bench) -> Who:
    pid = bench.children()["storage"]
    return pid, pid


@dataclass(frozen=True)
class Scenario:
    """Something that happens to a running server, while calls of `who` fail."""

    name: str
    who: Callable[[Bench], Who]
    act: Callable[[Bench], bool]  # whether all was done that was asked for
    stored: bool = False

    def play(self, bench: Bench, call: str, number: int) -> Outcome:
        """Let one call fail, and look."""
        bench.ready(self.stored)
        self._act(bench, call, number, outcome := Outcome())
        bench.judge(outcome)
        return outcome

    def survey(self, bench: Bench) -> dict[str, int]:
        """How often each call is made."""
        bench.ready(self.stored)
        self._act(bench, "", NOT_NOW, Outcome())
        return bench.faults.seen

    def _act(self, bench: Bench, call: str, number: int, outcome: Outcome) -> None:
        bench.mark()
        bench.faults.order(call, number)
        bench.faults.mean(self.who(bench))
        outcome.refused = not self.act(bench)
        bench.faults.stop()
        outcome.failed = bool(bench.faults.failed)


def reload(bench: Bench) -> bool:
    """SIGHUP, until its counters say what became of it: the log does so only now and then."""
    before = reloads(bench)
    bench.running.signal(signal.SIGHUP)
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline and not bench.running.has_ended():
        if (now := reloads(bench)) != before:
            return now["sipherd:reloads"] > before["sipherd:reloads"]
        time.sleep(0.01)
    return False


def reloads(bench: Bench) -> dict[str, int]:
    """How many were taken over, and how many refused."""
    names = ["reloads", "reloads_refused"]
    found: dict[str, int] | None = None
    while found is None and not bench.running.has_ended():
        found = bench.control("get_statistics", {"statistics": names})
    return found or {}


def replacement(bench: Bench) -> bool:
    """A worker dies."""
    victim = bench.kill_worker()
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline and not bench.running.has_ended():
        if bench.is_whole(set(bench.children())) and victim not in bench.workers():
            return bench.booth.options() == 200
        time.sleep(0.005)
    return False


def one_more_worker(bench: Bench) -> bool:
    """SIGTTIN: a new generation of workers; then, with nothing failing any more, one less."""
    if not generation_serves(bench, signal.SIGTTIN):
        return False
    bench.faults.stop()
    return generation_serves(bench, signal.SIGTTOU)


def generation_serves(bench: Bench, number: int) -> bool:
    """Whether the workers come that a signal asks for."""
    before = set(bench.workers())
    wanted = WORKERS + (number == signal.SIGTTIN)  # whoever is being replaced just now
    bench.running.signal(number)
    deadline = time.monotonic() + GENERATION_S
    while time.monotonic() < deadline and not bench.running.has_ended():
        now = set(bench.workers())
        if len(now) == wanted and not now & before:
            return True
        if ": workers abandoned " in bench.said():
            return False
        time.sleep(0.005)
    return False


def registrations_and_calls(bench: Bench) -> bool:
    """Users come, refresh and go; the last of them is called."""
    booth, statuses = bench.booth, []
    for number in range(USERS):
        statuses.append(booth.register(f"user{number}"))
    statuses.append(booth.register("user0"))
    statuses.append(booth.register("user1", expires=0))
    calls = [booth.call("before1") for _ in range(2)]
    return {*statuses} == {200} and {*calls} == {(200, 200)}


def commits(bench: Bench) -> bool:
    """REGISTERs whose answers wait for the database."""
    statuses = [bench.booth.register(f"user{number}") for number in range(3)]
    return {*statuses, bench.booth.register("user0", expires=0)} == {200}


def commands(bench: Bench) -> bool:
    """An operator asks."""
    asked = [
        bench.control("ul_dump", {}),
        bench.control("get_statistics", {"statistics": ["all"]}),
        bench.control("ps", {}),
    ]
    return None not in asked


@dataclass(frozen=True)
class Start(Scenario):
    """A server is started: new, or where one was killed; with calls of itself or its children."""

    of: str = "itself"
    again: bool = False

    def play(self, bench: Bench, call: str, number: int) -> Outcome:
        """Let one call fail while it starts; a start that is refused is tried once more."""
        outcome = Outcome()
        server = bench.fresh(self.stored, bench.left_behind() if self.again else None)
        bench.faults.order(call, number)
        server.begin(self.of)
        up = server.is_up(UP_S)
        bench.faults.stop()
        outcome.failed, outcome.refused = bool(bench.faults.failed), not up
        if not up:
            self._look_at_refusal(bench, outcome)
            bench.mark()
            server.begin()
            if not server.is_up(UP_S):
                outcome.problems.append("the next start failed as well")
        seen = len(outcome.problems)
        bench.judge(later := Outcome())
        outcome.problems += later.problems
        outcome.deaths = later.deaths
        outcome.log = server.log.splitlines() if seen else later.log
        bench.discard()
        return outcome

    def _look_at_refusal(self, bench: Bench, outcome: Outcome) -> None:
        server = bench.running
        if not server.has_ended(5.0):
            outcome.problems.append("it neither came up nor ended")
            server.put_down()
        elif server.exit_status != 1:
            outcome.problems.append(f"it was refused with status {server.exit_status}")
        text = server.log
        if has_traceback(text) or not text.strip():
            outcome.problems.append(f"a refusal that is no sentence: {text[-1500:]!r}")

    def survey(self, bench: Bench) -> dict[str, int]:
        """How often each call is made until it is up."""
        server = bench.fresh(self.stored, bench.left_behind() if self.again else None)
        bench.faults.order("", NOT_NOW)
        server.begin(self.of)
        server.is_up(UP_S)
        bench.discard()
        return bench.faults.seen


@dataclass(frozen=True)
class Stop(Scenario):
    """A server is asked to stop; the next one finds all that it knew."""

    def play(self, bench: Bench, call: str, number: int) -> Outcome:
        """Let one call fail meanwhile, and look at what the next server has."""
        server = bench.ready(self.stored)
        self._act(bench, call, number, outcome := Outcome())
        problems = outcome.problems
        if outcome.refused:
            problems.append(f"it ended with status {server.exit_status}")
        text = bench.said()
        if has_traceback(text):
            problems.append("the log has a traceback")
        outcome.refused, outcome.log = False, text.splitlines()
        bench.mark()
        server.begin()
        if not server.is_up(UP_S):
            problems.append("the next start failed")
        bench.judge(later := Outcome())
        problems += later.problems
        return outcome

    def survey(self, bench: Bench) -> dict[str, int]:
        """How often each call is made."""
        counts = super().survey(bench)
        bench.discard()
        return counts


def end(bench: Bench) -> bool:
    """SIGTERM, and the end in time."""
    with suppress(ServerFailed):
        return bench.running.finish() in {0, 1}
    return False


def nobody_yet(bench: Bench) -> Who:
    return 0, 0


SCENARIOS: Final = (
    Start("start of the supervisor", nobody_yet, end),
    Start("start of the children", nobody_yet, end, of="children"),
    Start("restart of the supervisor", nobody_yet, end, again=True),
    Start("restart of the children", nobody_yet, end, of="children", again=True),
    Scenario("reload by the supervisor", supervisor, reload),
    Scenario("reload by its trial", newborn, reload),
    Scenario("reload by the children", children, reload),
    Scenario("replacement by the supervisor", supervisor, replacement),
    Scenario("replacement by the new worker", newborn, replacement),
    Scenario("generation by the supervisor", supervisor, one_more_worker),
    Scenario("generation by the new workers", newborn, one_more_worker),
    Scenario("registering and calling", workers, registrations_and_calls),
    Scenario("commit", storage, commits, stored=True),
    Scenario("commands", control, commands),
    Stop("stop by the supervisor", supervisor, end),
    Stop("stop by the children", children, end),
)
