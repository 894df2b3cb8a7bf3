"""An ordinary load that runs beside something violent, and the books about it.

Telephones in asyncio register, refresh, unregister and call each other by RFC 3261's timers; beside
them generator.c keeps the workers busy. Whatever the violence, no telephone may see more of it
than a repetition.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from loadtests.agents import Call, Callee, Registrant, Tally
from loadtests.generating import generate
from loadtests.servers import Sipherd
from loadtests.wire import GIVE_UP, Line

LINES = 8
FORGET_S = 2 * GIVE_UP


@dataclass(frozen=True)
class Load:
    """How much of it."""

    phones: int = 300
    calls_per_second: float = 20.0
    background: float = 3_000.0  # operations per second by generator.c; 0: none
    background_users: int = 9_000
    slice_s: float = 4.0  # refreshes for so long, then calls, and so on
    may_wait: bool = False  # a REGISTER may be told to come again (503), or be left in silence


class Traffic:
    """Who registers and calls, for as long as it lasts."""

    def __init__(self, server: Sipherd, load: Load, chance: random.Random) -> None:
        self.server, self.load, self.chance = server, load, chance
        self.tally = Tally()
        self.lines: list[Line] = []
        self.callee_lines: list[Line] = []
        self.phones: list[Registrant] = []
        self.callees: list[Callee] = []
        self.calls: set[Call] = set()
        self.ended: list[str] = []  # calls, by Call-ID
        self.background: list[dict[str, Any]] = []
        self.waited = 0  # runs of generator.c that could not begin
        self.stopping = False
        self.tasks: set[asyncio.Task[None]] = set()

    async def prepare(self) -> None:
        """Open the lines; register those who will be called."""
        address = (self.server.host, self.server.port)
        self.lines = [await Line.open(address) for _ in range(LINES)]
        self.callee_lines = [await Line.open(address) for _ in range(LINES)]
        self.callees = [Callee(line, self.tally, self.chance) for line in self.callee_lines]
        called = [
            Registrant(f"callee{i}", line, self.tally) for i, line in enumerate(self.callee_lines)
        ]
        await asyncio.gather(*(phone.register(3600) for phone in called))
        if self.tally.failures:
            raise RuntimeError(f"nothing works even in peace: {self.tally.failures[:3]}")
        self.phones = called + [
            Registrant(f"phone{i}", self.lines[i % LINES], self.tally, self.load.may_wait)
            for i in range(self.load.phones)
        ]

    def start(self) -> None:
        """From now on they do what they do."""
        for phone in self.phones[LINES:]:
            self.spawn(self._keep_registering(phone))
        self.spawn(self._keep_calling())
        if rate := self.load.background:
            refreshes = ("refresh", "-u", self.load.background_users, "-r", rate)
            self.spawn(self.keep_generating([refreshes, ("call", "-u", 100, "-r", rate / 20)]))

    async def finish(self, patience: float = 150.0) -> None:
        """Let everything that has begun come to its end."""
        self.stopping = True
        deadline = time.monotonic() + patience
        while (pending := self._pending()) and time.monotonic() < deadline:
            await asyncio.wait(pending, timeout=1)
        for task in self._pending():
            task.cancel()
        for line in self.lines + self.callee_lines:
            line.close()

    @property
    def in_setup(self) -> int:
        """How many calls are being set up."""
        return sum(call.in_setup for call in self.calls)

    def spawn(self, what: Coroutine[Any, Any, None]) -> None:
        """Have something done whose end `finish` waits for."""
        task = asyncio.ensure_future(what)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def _pending(self) -> set[asyncio.Task[None]]:
        return self.tasks | {task for callee in self.callees for task in callee.tasks}

    async def _keep_registering(self, phone: Registrant) -> None:
        """Register, refresh, sometimes unregister."""
        while not self.stopping and phone.bound is not None:
            await asyncio.sleep(self.chance.uniform(0.2, 2.8))
            await phone.register(0 if phone.bound and self.chance.random() < 0.2 else 3600)

    async def _keep_calling(self) -> None:
        pause = 1.0 / self.load.calls_per_second
        while not self.stopping:
            await asyncio.sleep(self.chance.expovariate(1.0) * pause)
            kind = self.chance.choices(("answer", "busy", "cancel"), (8, 1, 1))[0]
            user = f"callee{self.chance.randrange(LINES)}"
            call = Call(self.chance.choice(self.lines), user, kind, self.tally, self.chance)
            self.spawn(self._finish(call))

    async def _finish(self, call: Call) -> None:
        self.calls.add(call)
        try:
            await call.run()
        finally:
            self.calls.discard(call)
            self.ended.append(call.call_id)
            asyncio.get_running_loop().call_later(FORGET_S, self._forget, call)

    def _forget(self, call: Call) -> None:
        """Nobody repeats anything of it any more."""
        call.line.owners.pop(call.call_id, None)
        for callee in self.callees:
            for books in (callee.branches, callee.last, callee.acked):
                books.pop(call.call_id, None)

    async def keep_generating(self, loads: Sequence[tuple[object, ...]]) -> None:
        """generator.c with one load after the other, and from the beginning."""
        for number, (mode, *options) in enumerate(itertools.cycle(loads)):
            if self.stopping:
                return
            words = (str(mode), *options, "-d", self.load.slice_s)
            try:
                found = await asyncio.to_thread(generate, self.server, *words, strict=False)
            except RuntimeError as error:  # not even its telephones could be registered
                self.waited += 1
                if not self.load.may_wait:
                    self.tally.failures.append(f"background run {number}: {error}")
                continue
            self.background.append(found)
            told = found["statuses"].get("503", 0) if self.load.may_wait else 0
            gave_up = 0 if self.load.may_wait else found["gave_up"]
            if gave_up or found["refused"] > told:
                self.tally.failures.append(f"background run {number}: {found}")

    def background_sum(self, what: str) -> int:
        """A figure of generator.c over all its runs."""
        return sum(run[what] for run in self.background)


def report_of(traffic: Traffic) -> dict[str, Any]:
    """What was done, and what went wrong."""
    tally = traffic.tally
    return {
        "registrations": tally.registered,
        "unregistrations": tally.unregistered,
        "told_to_wait": tally.told_to_wait,
        "unanswered": tally.unanswered,
        "calls_answered": tally.answered,
        "calls_busy": tally.busy,
        "calls_cancelled": tally.cancelled,
        "calls_with_repetition": tally.calls_with_repetition,
        "repetitions": tally.repeated,
        "background_done": traffic.background_sum("done"),
        "background_resent": traffic.background_sum("resent"),
        "background_gave_up": traffic.background_sum("gave_up"),
        "background_refused": traffic.background_sum("refused"),
        "background_skipped": traffic.background_sum("skipped"),
        "background_waited": traffic.waited,
        "merged_invites": tally.merged,
        "failures": tally.failures[:50],
        "failure_count": len(tally.failures),
    }


def compare_bindings(traffic: Traffic, shown: dict[str, set[str]]) -> dict[str, Any]:
    """What the telephones were told against the contacts of each user that somebody shows."""
    wanted = {phone.user: phone for phone in traffic.phones if phone.bound is not None}
    return {
        "confirmed": sum(phone.bound is True for phone in traffic.phones),
        "missing": [u for u, p in wanted.items() if p.bound and p.contact not in shown.get(u, ())],
        "surplus": [u for u, p in wanted.items() if not p.bound and shown.get(u)],
        "doubled": [u for u, contacts in shown.items() if len(contacts) > 1],
    }


def contacts(server: Sipherd) -> dict[str, set[str]]:
    """Each user's contacts, by `ul_dump`."""
    return {
        aor.partition("@")[0]: {contact["Contact"] for contact in rows}
        for aor, rows in server.bindings().items()
    }
