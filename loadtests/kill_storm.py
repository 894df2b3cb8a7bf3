"""kill -9 of random workers at random moments, under registrations and calls.

    python -m loadtests.kill_storm [--kills 300] [--seed N] [--phones 300] [--calls-per-second 20]

Afterwards every registration that got its 200 is there and none other, the tables are clean, every
call has come to its end, and the JSON says how fast the dead were replaced. Two delays are taken
for each kill: until the new process exists (`replaced`), and until a datagram that was sent to the
dead worker's socket or shard right after the kill is answered (`serving`). Meanwhile generator.c
keeps the workers busy, so that kills hit them in the middle of something; it must not give up on
anything either.
Exit status 1: one of these is not so.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import random
import signal
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from loadtests import processes
from loadtests.agents import Call, Callee, Registrant, Tally
from loadtests.generating import generate
from loadtests.servers import DOMAIN, Sipherd
from loadtests.wire import Line, request

REPLACED_P99_MS = 100.0


class Storm:
    """The load, the killer and the books of one run."""

    def __init__(self, server: Sipherd, args: argparse.Namespace) -> None:
        self.server, self.args = server, args
        self.chance = random.Random(args.seed)
        self.tally = Tally()
        self.lines: list[Line] = []
        self.callee_lines: list[Line] = []
        self.phones: list[Registrant] = []
        self.callees: list[Callee] = []
        self.calls: set[Call] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        self.stopping = False
        self.replaced: list[float] = []
        self.serving: list[float] = []
        self.background: list[dict[str, Any]] = []
        self.lost_probes = self.in_setup_at_kills = self.not_replaced = 0

    async def prepare(self) -> None:
        """Open the lines; register those who will be called."""
        address = (self.server.host, self.server.port)
        self.lines = [await Line.open(address) for _ in range(8)]
        self.callee_lines = [await Line.open(address) for _ in range(8)]
        self.callees = [Callee(line, self.tally, self.chance) for line in self.callee_lines]
        called = [
            Registrant(f"callee{i}", line, self.tally) for i, line in enumerate(self.callee_lines)
        ]
        await asyncio.gather(*(phone.register(3600) for phone in called))
        if self.tally.failures:
            raise RuntimeError(f"nothing works even without a storm: {self.tally.failures[:3]}")
        self.phones = called + [
            Registrant(f"phone{i}", self.lines[i % len(self.lines)], self.tally)
            for i in range(self.args.phones)
        ]

    def spawn(self, what: Any) -> None:
        task = asyncio.ensure_future(what)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def keep_registering(self, phone: Registrant) -> None:
        """Register, refresh, sometimes unregister, for as long as the storm lasts."""
        while not self.stopping and phone.bound is not None:
            await asyncio.sleep(self.chance.uniform(0.2, 2.8))
            await phone.register(0 if phone.bound and self.chance.random() < 0.2 else 3600)

    async def keep_calling(self) -> None:
        pause = 1.0 / self.args.calls_per_second
        while not self.stopping:
            await asyncio.sleep(self.chance.expovariate(1.0) * pause)
            kind = self.chance.choices(("answer", "busy", "cancel"), (8, 1, 1))[0]
            user = f"callee{self.chance.randrange(len(self.callee_lines))}"
            call = Call(self.chance.choice(self.lines), user, kind, self.tally, self.chance)
            self.calls.add(call)
            self.spawn(self.finish(call))

    async def keep_busy(self) -> None:
        """generator.c in turn with refreshes and calls, open loop, each run a few seconds."""
        loads = itertools.cycle(
            (
                ("refresh", "-u", 9_000, "-r", self.args.background),
                ("call", "-u", 100, "-r", self.args.background / 20),
            )
        )
        for number, (mode, *options) in enumerate(loads):
            if self.stopping:
                return
            seconds = 4 if self.args.kills > 50 else 1.5
            run = partial(generate, self.server, mode, *options, "-d", seconds, strict=False)
            found = await asyncio.to_thread(run)
            self.background.append(found)
            if found["gave_up"] or found["refused"]:
                self.tally.failures.append(f"background run {number}: {found}")

    async def finish(self, call: Call) -> None:
        try:
            await call.run()
        finally:
            self.calls.discard(call)

    async def kill_one(self) -> None:
        """One random worker dies; wait until another has its place."""
        before = self.server.workers_alive()
        victim = self.chance.choice(before)
        self.in_setup_at_kills += sum(call.in_setup for call in self.calls)
        os.kill(victim, signal.SIGKILL)
        killed = time.monotonic()
        self.spawn(self.probe(killed))
        while time.monotonic() < killed + 5:
            alive = self.server.workers_alive()
            if victim not in alive and len(alive) == self.server.workers:
                self.replaced.append(1e3 * (time.monotonic() - killed))
                return
            await asyncio.sleep(0.001)
        self.not_replaced += 1

    async def probe(self, killed: float) -> None:
        """Twelve OPTIONS right after the kill, half of them for the dead: when is all answered?"""
        last = 0.0
        answers: asyncio.Queue[float] = asyncio.Queue()
        for number in range(12):
            line = self.lines[number % len(self.lines)]
            name = f"probe-{killed:.6f}-{number}"
            line.owners[name] = lambda _: answers.put_nowait(time.monotonic())
            address = f"<sip:probe@{DOMAIN}>"
            line.send(
                request(line, "OPTIONS", f"sip:{DOMAIN}", name, 1, f"{address};tag=p", address)
            )
            await asyncio.sleep(0.001)
        got = 0
        try:
            while got < 12:
                last = await asyncio.wait_for(answers.get(), killed + 3 - time.monotonic())
                got += 1
        except TimeoutError:
            self.lost_probes += 12 - got
        if got:
            self.serving.append(1e3 * (last - killed))

    async def run(self) -> None:
        """The whole storm, and the calm after it."""
        await self.prepare()
        for phone in self.phones[len(self.callee_lines) :]:
            self.spawn(self.keep_registering(phone))
        self.spawn(self.keep_calling())
        if self.args.background:
            self.spawn(self.keep_busy())
        await asyncio.sleep(1.0)
        for number in range(self.args.kills):
            await asyncio.sleep(self.chance.uniform(0.0, 2 * self.args.pause))
            await self.kill_one()
            if (number + 1) % 50 == 0:
                print(
                    f"{number + 1} kills, {len(self.tally.failures)} failures",
                    file=sys.stderr,
                    flush=True,
                )
        await asyncio.sleep(0.5)
        self.stopping = True
        deadline = time.monotonic() + 100
        pending = self.tasks | {task for callee in self.callees for task in callee.tasks}
        while pending and time.monotonic() < deadline:
            await asyncio.wait(pending, timeout=1)
            pending = self.tasks | {task for callee in self.callees for task in callee.tasks}
        for task in pending:
            task.cancel()
        for line in self.lines + self.callee_lines:
            line.close()


def quantile(values: list[float], q: float) -> float:
    """The value below which a share `q` lies; 0 for none."""
    return sorted(values)[int(q * (len(values) - 1))] if values else 0.0


def latency(values: list[float]) -> dict[str, float]:
    """Median, 99th percentile and worst, in milliseconds."""
    return {
        "p50_ms": round(quantile(values, 0.5), 2),
        "p99_ms": round(quantile(values, 0.99), 2),
        "max_ms": round(max(values, default=0.0), 2),
    }


def compare_bindings(storm: Storm) -> dict[str, Any]:
    """What the telephones were told against what `ul_dump` shows."""
    shown = {
        aor.partition("@")[0]: {contact["Contact"] for contact in contacts}
        for aor, contacts in storm.server.bindings().items()
    }
    wanted = {phone.user: phone for phone in storm.phones if phone.bound is not None}
    missing = [u for u, p in wanted.items() if p.bound and p.contact not in shown.get(u, set())]
    surplus = [u for u, p in wanted.items() if not p.bound and shown.get(u)]
    doubled = [u for u, contacts in shown.items() if len(contacts) > 1]
    return {
        "confirmed": sum(phone.bound is True for phone in storm.phones),
        "missing": missing,
        "surplus": surplus,
        "doubled": doubled,
    }


def run(args: argparse.Namespace, folder: Path) -> tuple[dict[str, Any], bool]:
    """The report, and whether all of it is as it must be."""
    server = Sipherd(folder, capacity=20_000)
    began = time.monotonic()
    with server:
        storm = Storm(server, args)
        asyncio.run(storm.run())
        bindings = compare_bindings(storm)
        check = server.table_check()
        alive = processes.alive(server.pid) and len(server.workers_alive()) == server.workers
    tally = storm.tally
    report = {
        "seed": args.seed,
        "kills": args.kills,
        "seconds": round(time.monotonic() - began, 1),
        "replaced": latency(storm.replaced),
        "serving": latency(storm.serving),
        "not_replaced": storm.not_replaced,
        "lost_probes": storm.lost_probes,
        "registrations": tally.registered,
        "unregistrations": tally.unregistered,
        "bindings": bindings,
        "table_check": (check.stdout + check.stderr).strip(),
        "table_clean": check.returncode == 0,
        "calls_answered": tally.answered,
        "calls_busy": tally.busy,
        "calls_cancelled": tally.cancelled,
        "in_setup_at_kills": storm.in_setup_at_kills,
        "calls_with_repetition": tally.calls_with_repetition,
        "repetitions": tally.repeated,
        "background_done": sum(run["done"] for run in storm.background),
        "background_resent": sum(run["resent"] for run in storm.background),
        "merged_invites": tally.merged,
        "failures": tally.failures[:50],
        "failure_count": len(tally.failures),
        "alive": alive,
    }
    good = (
        alive
        and check.returncode == 0
        and not tally.failures
        and not storm.not_replaced
        and not bindings["missing"]
        and not bindings["surplus"]
        and not tally.merged
        and report["replaced"]["p99_ms"] <= REPLACED_P99_MS
    )
    return report, good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--pause", type=float, default=0.3, help="mean seconds between two kills")
    parser.add_argument("--phones", type=int, default=300)
    parser.add_argument("--calls-per-second", type=float, default=20.0)
    parser.add_argument(
        "--background",
        type=float,
        default=3_000.0,
        help="operations per second by generator.c; 0: none",
    )
    parser.add_argument("--seed", type=int, default=int(time.time()))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kill-storm-") as folder:
        report, good = run(args, Path(folder))
    print(json.dumps(report))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
