"""Hours of an ordinary mix, and whether anything only ever grows.

    python -m loadtests.soak [--minutes 30] [--rate 1000] [--picture FILE]

Telephones register, refresh, unregister, forget themselves until they expire, and call each other;
generator.c adds refreshes and calls in turn, another one OPTIONS; some fifty messages a second are
spoilt. Every few seconds memory, descriptors, registrations, calls and transactions are noted. What
counts is the second half: a straight line through it must not climb, nothing may have been
replaced, and no telephone may have seen a wrong answer, or none.
Exit status 1: one of these is not so.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from loadtests import processes
from loadtests.agents import Registrant
from loadtests.isolation import enter_private_network
from loadtests.mutate import Sender
from loadtests.picture import Panel
from loadtests.ports import free_port
from loadtests.samples import MEGABYTE, Sample, draw_samples, growths, take
from loadtests.servers import Sipherd
from loadtests.traffic import LINES, Load, Traffic, compare_bindings, contacts, report_of

SETTINGS = """
[registrar]
min_expires = 1
[dialog]
enabled = true
capacity = 50_000
cdr_file = "cdr.jsonl"
"""
FIGURES = {
    "usrloc:registered_users": "phones",
    "dialog:active_dialogs": "calls",
    "tm:inuse_transactions": "transactions",
}
FORGETFUL_S = 10
FORGETFUL_PER_SECOND = 5.0
GREW_BYTES_PER_HOUR = 2 * MEGABYTE  # of one process, by the fitted line
GREW_SHARE = 0.2  # of what is in use on average
HOUR_S = 3_600.0


class Soak:
    """The mix, and what was seen of the server meanwhile."""

    def __init__(self, server: Sipherd, args: argparse.Namespace, private: bool) -> None:
        self.server, self.args = server, args
        chance = random.Random(args.seed)
        users = 5_000
        load = Load(args.phones, args.calls_per_second, args.rate, users, args.slice)
        self.traffic = Traffic(server, load, chance)
        self.sender = Sender(server, args.seed, private)
        self.samples: list[Sample] = []
        self.busy: list[float] = []  # processor time of the server, at each sample
        self.forgotten = 0

    async def run(self) -> None:
        """All of it at once, for as long as was asked."""
        self.sender.register_callee()
        await self.traffic.prepare()
        self.traffic.start()
        began = time.monotonic()
        self.traffic.spawn(self._forget_phones())
        self.traffic.spawn(self._spoil())
        ports = ("-f", free_port(2))  # the telephones' generator runs at the same time
        self.traffic.spawn(
            self.traffic.keep_generating([("options", "-r", self.args.rate / 4, *ports)])
        )
        while (at := time.monotonic() - began) < 60 * self.args.minutes:
            self.samples.append(take(self.server, at, tuple(FIGURES)))
            self.busy.append(processes.cpu_seconds(self.server.pid))
            self._say(at)
            await asyncio.sleep(self.args.every)
        await self.traffic.finish()

    def _say(self, at: float) -> None:
        last = self.samples[-1]
        memory = sum(last.memory.values()) / MEGABYTE
        figures = ", ".join(f"{last.figures.get(name, 0)} {word}" for name, word in FIGURES.items())
        failures = len(self.traffic.tally.failures)
        line = f"{at:6.0f} s: {memory:.1f} MB, {figures}, {failures} failures"
        print(line, file=sys.stderr, flush=True)

    async def _forget_phones(self) -> None:
        """Telephones that register once, for a short time, and are never heard of again."""
        traffic = self.traffic
        while not traffic.stopping:
            await asyncio.sleep(1 / FORGETFUL_PER_SECOND)
            self.forgotten += 1
            line = traffic.lines[self.forgotten % LINES]
            phone = Registrant(f"ghost{self.forgotten}", line, traffic.tally)
            traffic.spawn(self._register_once(phone))

    async def _register_once(self, phone: Registrant) -> None:
        await phone.register(FORGETFUL_S)
        phone.line.owners.pop(phone.call_id, None)

    async def _spoil(self) -> None:
        """Fifty mutants a second, and good messages between them that must be answered."""
        while not self.traffic.stopping:
            await asyncio.to_thread(self.sender.send_batch)
            await asyncio.to_thread(self.sender.fence)
            await asyncio.sleep(1.0)


def judge(samples: list[Sample]) -> tuple[dict[str, Any], bool]:
    """What has grown in the second half, and whether that is nothing."""
    half = samples[len(samples) // 2 :]
    hours = max(1.0 / 60, (half[-1].at - half[0].at) / HOUR_S) if half else 1.0
    memory = growths(samples, lambda each: each.memory)
    files = growths(samples, lambda each: each.descriptors)
    figures = growths(samples, lambda each: each.figures)
    usual = {
        name: sum(each.figures.get(name, 0) for each in half) / max(1, len(half))
        for name in FIGURES
    }
    flat = {
        "memory": max(memory.values(), default=0) < max(MEGABYTE, GREW_BYTES_PER_HOUR * hours),
        "descriptors": max(files.values(), default=0) < 1,
        "in_use": all(grew <= GREW_SHARE * usual[name] + 20 for name, grew in figures.items()),
    }
    found = {
        "memory_growth_bytes": memory,
        "descriptor_growth": files,
        "in_use_growth": figures,
        "in_use_on_average": {name: round(value) for name, value in usual.items()},
        "flat": flat,
    }
    return found, all(flat.values())


def run(args: argparse.Namespace, folder: Path) -> tuple[dict[str, Any], bool]:
    """The report, and whether all of it is as it must be."""
    private = enter_private_network()
    server = Sipherd(folder, capacity=20_000, settings=SETTINGS)
    with server:
        soak = Soak(server, args, private)
        asyncio.run(soak.run())
        bindings = compare_bindings(soak.traffic, contacts(server))
        counted = server.statistics("sipherd:restarts", "sipherd:receive_drops")
        check = server.table_check()
        alive = processes.alive(server.pid) and len(server.workers_alive()) == server.workers
        tracebacks = server.log.count("Traceback")
    found, flat = judge(soak.samples)
    report = {
        "date": datetime.now(UTC).date().isoformat(),
        "minutes": args.minutes,
        "samples": len(soak.samples),
        **found,
        **report_of(soak.traffic),
        "forgotten": soak.forgotten,
        "spoilt": soak.sender.sent,
        "good_unanswered": soak.sender.unanswered,
        **counted,
        "bindings": bindings,
        "table_clean": check.returncode == 0,
        "tracebacks": tracebacks,
        "alive": alive,
    }
    if args.picture:
        draw_samples(soak.samples, args.picture, f"{args.minutes:g} minutes", usage(soak))
    good = (
        (flat or args.minutes < args.judge_from)
        and alive
        and check.returncode == 0
        and not (soak.traffic.tally.failures or soak.sender.unanswered or tracebacks)
        and not counted["sipherd:restarts"]
        and not (bindings["missing"] or bindings["surplus"])
    )
    return report, good


def usage(soak: Soak) -> Panel:
    """Processors used between each two samples."""
    samples, busy = soak.samples, soak.busy
    spans = list(zip(samples, samples[1:], busy, busy[1:], strict=False))
    used = [max(0.0, (b - a) / (late.at - early.at)) for early, late, a, b in spans]
    return Panel("processors", {"": used}, [late.at for _, late, _, _ in spans])


def print_table(soak: dict[str, Any]) -> None:
    """What a reader wants to see."""
    print(f"{soak['minutes']:g} minutes, {soak['date']}")
    print(f"{'process':24} {'grew in the second half, kB':>28} {'descriptors':>12}")
    for name, grew in sorted(soak["memory_growth_bytes"].items()):
        files = soak["descriptor_growth"].get(name, 0)
        print(f"{name.removeprefix('sipherd: '):24} {grew / 1024:28.0f} {files:12}")
    for name, word in FIGURES.items():
        average, grew = soak["in_use_on_average"][name], soak["in_use_growth"].get(name, 0)
        print(f"{word:24} {grew:28} of {average}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--rate", type=float, default=1_000.0, help="refreshes a second")
    parser.add_argument("--phones", type=int, default=300)
    parser.add_argument("--calls-per-second", type=float, default=20.0)
    parser.add_argument("--every", type=float, default=5.0, help="seconds between two samples")
    parser.add_argument("--slice", type=float, default=10.0, help="of refreshes, then of calls")
    parser.add_argument("--judge-from", type=float, default=5.0, help="minutes that tell a slope")
    parser.add_argument("--picture", type=Path, help="draw what was seen here (PNG)")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        report, good = run(args, Path(folder))
    print_table(report)
    print(json.dumps(report))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
