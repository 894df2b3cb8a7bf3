"""SIGUSR2 twenty times under load: another version of the program takes over each time.

    python -m loadtests.upgrades [--times 20] [--rate N] [--picture FILE]

Versions are copies of this one with another number, and a link says which is installed. Telephones
register and call meanwhile, and generator.c offers a steady load. OPTIONS that are never repeated
are sent all the time: each of them is answered, and the longest wait for an answer is the gap.
Afterwards no transaction has failed and nothing is missing; after each upgrade every process that
serves was of the new version; memory and descriptors stay as they are.
Exit status 1: one of these is not so.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from loadtests import processes
from loadtests.programs import Programs
from loadtests.samples import Sample, draw_samples, figures_of, growths, take
from loadtests.servers import DOMAIN, Sipherd
from loadtests.traffic import Load, Traffic, compare_bindings, contacts, report_of
from loadtests.wire import Line, Packet, request
from workers.control_client import ask

CAPACITY = 20_000
PATIENCE_S = 90.0
PROBE_S = 0.004
LOST_S = 3.0
LOOK_S = 0.02
GREW_BYTES = 1 << 20
DRAINING_FDS = 20  # of workers that still drain at the end of a short run


class Upgradable(Sipherd):
    """A server that runs what a link points to."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, capacity=CAPACITY)
        place = folder / "programs"
        place.mkdir()
        self.programs = Programs(place)

    def spawn(self) -> None:
        """Start it out of the link, and not in the folder of a version."""
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                self.command(),
                cwd=self.directory,
                env=dict(os.environ, PYTHONPATH=str(self.programs.current)),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def versions(self) -> dict[int, str]:
        """The version of each process."""
        rows = ask(self.runtime_dir, "ps", {})["result"]["Processes"]
        return {row["PID"]: row["Version"] for row in rows}


class Prober:
    """OPTIONS at a steady pace from many ports, none of them repeated."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.sent: dict[str, float] = {}
        self.waits: list[tuple[float, float]] = []  # when it was sent, and for how long it waited
        self.ended = False

    async def run(self, address: tuple[str, int]) -> None:
        """Send until it is ended."""
        self.lines = [await Line.open(address) for _ in range(16)]
        number = 0
        while not self.ended:
            self.probe(self.lines[number % len(self.lines)], f"gap-{number}")
            number += 1
            await asyncio.sleep(PROBE_S)
        await asyncio.sleep(LOST_S)
        for line in self.lines:
            line.close()

    def probe(self, line: Line, name: str) -> None:
        """One question; the line forgets it with its answer."""
        self.sent[name] = time.monotonic()

        def answered(_: Packet) -> None:
            line.owners.pop(name, None)
            began = self.sent.pop(name)
            self.waits.append((began, time.monotonic() - began))

        line.owners[name] = answered
        source = f"<sip:probe@{DOMAIN}>"
        line.send(request(line, "OPTIONS", f"sip:{DOMAIN}", name, 1, f"{source};tag=p", source))

    def longest(self, since: float) -> float:
        """The longest wait of what has been sent since then, what still waits included."""
        now = time.monotonic()
        waits = [wait for began, wait in self.waits if began >= since]
        return max([*waits, *(now - began for began in self.sent.values())], default=0.0)


class Upgrades:
    """The load, the upgrades and what was seen of them."""

    def __init__(self, server: Upgradable, args: argparse.Namespace) -> None:
        self.server, self.args = server, args
        slice_s = 4.0 if args.times > 5 else 1.5
        load = Load(args.phones, args.calls_per_second, args.rate, 2_000, slice_s)
        self.traffic = Traffic(server, load, random.Random(args.seed))
        self.prober = Prober()
        self.wrong: list[str] = []
        self.taken_s: list[float] = []
        self.gaps_s: list[float] = []
        self.samples: list[Sample] = []

    async def upgrade(self, number: int) -> None:
        """One SIGUSR2; wait until all that serve are of the new version."""
        version = str(number + 2)
        await asyncio.to_thread(self.server.programs.install, version)
        began = time.monotonic()
        os.kill(self.server.pid, signal.SIGUSR2)
        while f" upgraded version={version} " not in self.server.log:
            if time.monotonic() > began + PATIENCE_S:
                self.wrong.append(f"upgrade to {version}: {self.server.log[-600:]}")
                return
            await asyncio.sleep(LOOK_S)
        self.taken_s.append(time.monotonic() - began)
        found = list(self.server.versions().values())
        if found[0] != version or found.count(version) < 3 + self.server.workers:
            self.wrong.append(f"upgrade to {version}: {found}")
        await asyncio.sleep(0.5)
        self.gaps_s.append(self.prober.longest(began))

    async def run(self) -> None:
        """All of it, and the load to its end."""
        await self.traffic.prepare()
        self.traffic.start()
        prober = asyncio.ensure_future(self.prober.run((self.server.host, self.server.port)))
        await asyncio.sleep(1.0)
        for number in range(self.args.times):
            await self.upgrade(number)
            self.samples.append(take(self.server, float(number)))
            print(f"{number + 1} upgrades, {len(self.wrong)} went wrong", file=sys.stderr)
            await asyncio.sleep(self.args.pause)
        self.prober.ended = True
        await prober
        await self.traffic.finish()


def run(args: argparse.Namespace, folder: Path) -> tuple[dict[str, Any], bool]:
    """The report, and whether all of it is as it must be."""
    server = Upgradable(folder)
    server.programs.install("1")
    began = time.monotonic()
    with server:
        upgrades = Upgrades(server, args)
        asyncio.run(upgrades.run())
        bindings = compare_bindings(upgrades.traffic, contacts(server))
        figures = figures_of(
            server, "sipherd:upgrades", "sipherd:restarts", "sipherd:receive_drops"
        )
        alive = processes.alive(server.pid)
        tracebacks = len(re.findall(r"^Traceback", server.log, re.MULTILINE))
    grew = growths(upgrades.samples, lambda each: each.memory)
    files = growths(upgrades.samples, lambda each: each.descriptors)
    gaps, taken = sorted(upgrades.gaps_s), sorted(upgrades.taken_s)
    report = {
        "times": args.times,
        "seconds": round(time.monotonic() - began, 1),
        "wrong": upgrades.wrong[:20],
        "upgrade_p50_s": round(taken[len(taken) // 2], 2) if taken else None,
        "upgrade_max_s": round(taken[-1], 2) if taken else None,
        "gap_p50_ms": round(1e3 * gaps[len(gaps) // 2], 1) if gaps else None,
        "gap_max_ms": round(1e3 * gaps[-1], 1) if gaps else None,
        "probes": len(upgrades.prober.waits),
        "probes_lost": len(upgrades.prober.sent),
        "bindings": bindings,
        **report_of(upgrades.traffic),
        **figures,
        "memory_growth_bytes": grew,
        "descriptor_growth": files,
        "tracebacks": tracebacks,
        "alive": alive,
    }
    if args.picture:
        draw_samples(upgrades.samples, args.picture, f"{args.times} upgrades")
    supervisor = "sipherd: supervisor"
    good = (
        alive
        and not upgrades.wrong
        and not upgrades.prober.sent
        and not upgrades.traffic.tally.failures
        and not (bindings["missing"] or bindings["surplus"])
        and figures["sipherd:upgrades"] == args.times
        and not (figures["sipherd:restarts"] or figures["sipherd:receive_drops"])
        and gaps[-1] < args.gap
        and grew.get(supervisor, 0) < GREW_BYTES
        and files.get(supervisor, 0) < max(args.times, DRAINING_FDS)
    )
    return report, good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--rate", type=float, default=1_000.0, help="operations per second")
    parser.add_argument("--pause", type=float, default=2.0, help="seconds between two")
    parser.add_argument("--phones", type=int, default=200)
    parser.add_argument("--calls-per-second", type=float, default=20.0)
    parser.add_argument("--gap", type=float, default=0.2, help="seconds without an answer")
    parser.add_argument("--picture", type=Path, help="draw memory and descriptors here (PNG)")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="upgrades-") as folder:
        report, good = run(args, Path(folder))
    print(json.dumps(report))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
