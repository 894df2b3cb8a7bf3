"""SIGHUP a thousand times under load, a third of them with broken files.

    python -m loadtests.reloads [--times 1000] [--rate N] [--picture FILE]

Each time the configuration or the policy is another one; every third is broken, each time in
another way, and must be refused. Telephones register and call meanwhile, and generator.c offers
half of what two workers can do. Afterwards no message was lost, so nobody has repeated anything;
no call was affected; after each reload every process had the same edition; memory and descriptors
stay as they are.
Exit status 1: one of these is not so.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import random
import re
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from loadtests import processes
from loadtests.generating import generate
from loadtests.samples import Sample, draw_samples, editions, figures_of, growths, take
from loadtests.servers import ROOT, Sipherd
from loadtests.traffic import Load, Traffic, compare_bindings, contacts, report_of

CAPACITY = 20_000
ROUTING = '[routing]\nscript = "policy.py"\n'
BROKEN_SETTINGS = (  # what is replaced by what
    ("[node]", "this is no TOML\n[node]"),
    ("[workers]", "[registrar]\nnonsense = 1\n[workers]"),
    ("[workers]", "[registrar]\nmin_expires = 7000\nmax_expires = 60\n[workers]"),
    ("policy.py", "nowhere.py"),
    (f"capacity = {CAPACITY}", "capacity = 77"),  # would take a restart
)
BROKEN_POLICIES = (
    "def on_request(",
    "1 / 0\n",
    "import os\nos._exit(3)\n",
    "import os\nos.kill(os.getpid(), 9)\n",
    "async def on_request(request):\n    pass\n\ndef self_test():\n    raise ValueError('no')\n",
)
EVERY = 3  # one in so many is broken
OUTCOMES = ("sipherd:reloads", "sipherd:reloads_refused")
PATIENCE_S = 20.0
LOOK_S = 0.01
GREW_BYTES = 1 << 20
OPEN_FILES = 5  # of commands that are being answered
SAMPLES = 100


class Reloads:
    """The load, the reloads and what was seen of them."""

    def __init__(self, server: Sipherd, args: argparse.Namespace, rate: float) -> None:
        self.server, self.args = server, args
        self.settings = server.config_path.read_text()
        self.policy = (ROOT / "conf" / "routing.py").read_text()
        slice_s = 4.0 if args.times > 50 else 1.5
        load = Load(args.phones, args.calls_per_second, rate, 5_000, slice_s)
        self.traffic = Traffic(server, load, random.Random(args.seed))
        self.breaks = itertools.cycle(
            [
                *((self.settings.replace(*pair), "") for pair in BROKEN_SETTINGS),
                *(("", text) for text in BROKEN_POLICIES),
            ]
        )
        self.edition = 1
        self.wrong: list[str] = []
        self.taken_s: list[float] = []
        self.samples: list[Sample] = []

    def write(self, number: int, settings: str = "", policy: str = "") -> None:
        """The files of this reload: the usual ones with small changes, or broken ones."""
        usual = f"{self.settings}[registrar]\nmax_expires = {7_200 - number % 97}\n"
        self.server.config_path.write_text(settings or usual)
        text = policy or f"{self.policy}\n\nNUMBER = {number}\n"
        (self.server.directory / "policy.py").write_text(text)

    async def reload(self, number: int) -> None:
        """One SIGHUP; wait until it has been taken or refused, and is so everywhere."""
        broken = number % EVERY == EVERY - 1
        self.write(number, *(next(self.breaks) if broken else ()))
        before = self.outcomes()
        began = time.monotonic()
        os.kill(self.server.pid, signal.SIGHUP)
        while (after := self.outcomes()) == before:
            if time.monotonic() > began + PATIENCE_S:
                self.wrong.append(f"reload {number}: neither taken nor refused")
                return
            await asyncio.sleep(LOOK_S)
        self.taken_s.append(time.monotonic() - began)
        taken, refused = (now - then for now, then in zip(after, before, strict=True))
        if (taken, refused) != ((0, 1) if broken else (1, 0)):
            self.wrong.append(f"reload {number}: {taken} taken, {refused} refused")
        self.edition += taken
        while set(editions(self.server).values()) != {self.edition}:
            if time.monotonic() > began + PATIENCE_S:
                self.wrong.append(f"reload {number}: editions {editions(self.server)}")
                return
            await asyncio.sleep(LOOK_S)

    def outcomes(self) -> tuple[int, int]:
        """How many reloads were taken, and how many refused."""
        found = figures_of(self.server, *OUTCOMES)
        return found[OUTCOMES[0]], found[OUTCOMES[1]]

    async def run(self) -> None:
        """All of it, and the load to its end."""
        await self.traffic.prepare()
        self.traffic.start()
        await asyncio.sleep(1.0)
        every = max(1, self.args.times // SAMPLES)
        for number in range(self.args.times):
            await self.reload(number)
            if number % every == 0:
                self.samples.append(take(self.server, float(number)))
            if number % 50 == 49:
                said = f"{number + 1} reloads, {len(self.wrong)} went wrong"
                print(said, file=sys.stderr, flush=True)
            await asyncio.sleep(self.args.pause)
        self.write(self.args.times)  # `sipherd ctl` reads it as well
        await self.traffic.finish()


def half_of_capacity(server: Sipherd) -> float:
    """Half of the refreshes per second that a closed loop gets."""
    found = generate(server, "refresh", "-u", 5_000, "-d", 2)
    return float(found["per_second"]) / 2


def repetitions(report: dict[str, Any]) -> int:
    """How often somebody has had to repeat something."""
    return int(report["repetitions"] + report["background_resent"])


def run(args: argparse.Namespace, folder: Path) -> tuple[dict[str, Any], bool]:
    """The report, and whether all of it is as it must be."""
    (folder / "policy.py").write_text((ROOT / "conf" / "routing.py").read_text())
    server = Sipherd(folder, capacity=CAPACITY, settings=ROUTING)
    began = time.monotonic()
    with server:
        rate = args.rate or half_of_capacity(server)
        reloads = Reloads(server, args, rate)
        asyncio.run(reloads.run())
        bindings = compare_bindings(reloads.traffic, contacts(server))
        restarts = figures_of(server, "sipherd:restarts", "sipherd:receive_drops")
        alive = processes.alive(server.pid)
        tracebacks = len(re.findall(r"^Traceback", server.log, re.MULTILINE))
    grew = growths(reloads.samples, lambda each: each.memory)
    files = growths(reloads.samples, lambda each: each.descriptors)
    ordered = sorted(reloads.taken_s)
    report = {
        "times": args.times,
        "seconds": round(time.monotonic() - began, 1),
        "rate": round(rate),
        "edition": reloads.edition,
        "wrong": reloads.wrong[:20],
        "reload_p50_s": round(ordered[len(ordered) // 2], 3) if ordered else None,
        "reload_max_s": round(ordered[-1], 3) if ordered else None,
        "bindings": bindings,
        **report_of(reloads.traffic),
        **restarts,
        "memory_growth_bytes": grew,
        "descriptor_growth": files,
        "tracebacks": tracebacks,
        "alive": alive,
    }
    if args.picture:
        draw_samples(reloads.samples, args.picture, f"{args.times} reloads")
    good = (
        alive
        and not reloads.wrong
        and not reloads.traffic.tally.failures
        and not (bindings["missing"] or bindings["surplus"])
        and repetitions(report) <= args.repetitions
        and not any(restarts.values())
        and max(grew.values(), default=0) < GREW_BYTES
        and max(files.values(), default=0) < OPEN_FILES
    )
    return report, good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=1_000)
    parser.add_argument("--rate", type=float, default=0.0, help="operations per second; 0: half")
    parser.add_argument("--pause", type=float, default=0.1, help="seconds between two")
    parser.add_argument("--phones", type=int, default=300)
    parser.add_argument("--calls-per-second", type=float, default=20.0)
    parser.add_argument("--repetitions", type=int, default=0, help="so many are no failure")
    parser.add_argument("--picture", type=Path, help="draw memory and descriptors here (PNG)")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="reloads-") as folder:
        report, good = run(args, Path(folder))
    print(json.dumps(report))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
