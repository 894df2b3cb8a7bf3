"""The n-th call of each function of the system fails, once, in each part of a server's life.

    python -m loadtests.failing_calls [--upto 200] [--beyond 30] [--sample N] [--seed N] [WORD …]

For every scenario and every call that is made in it, n goes from 1 to `--upto` (as far as there
are so many), then to `--beyond` higher numbers drawn at random. `--sample` draws so many of all
these; WORDs take only scenarios and calls of which one occurs. Memory is Python's as well: each
object is a malloc. After each fault the supervisor lives (a start may be refused, with a sentence
and status 1), every process is there, REGISTER and OPTIONS are answered, all registrations that got
their 200 are in a table without faults, and whatever was not done has its line in the log.
Exit status 1: one of these is not so.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from loadtests.call_faults import CALLS, CallFaults, build_library
from loadtests.failing_scenarios import SCENARIOS, Scenario
from loadtests.faulty_server import Bench
from loadtests.warm_start import WarmStarter

MISSES = 2  # numbers that were not reached before a series ends


class Run:
    """What was tried, and what came of it."""

    def __init__(self, bench: Bench, chance: random.Random) -> None:
        self.bench, self.chance = bench, chance
        self.tried: Counter[str] = Counter()
        self.hit: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.deaths: Counter[str] = Counter()
        self.failures: list[dict[str, Any]] = []

    def attempt(self, scenario: Scenario, call: str, number: int) -> bool:
        """One fault; whether it came to it."""
        outcome = scenario.play(self.bench, call, number)
        self.tried[scenario.name] += 1
        self.hit[scenario.name] += outcome.failed
        self.refused[scenario.name] += outcome.refused
        self.deaths[scenario.name] += outcome.deaths
        if outcome.problems:
            fault = {"scenario": scenario.name, "call": call, "number": number}
            self.failures.append({**fault, "problems": outcome.problems, "log": outcome.log[-8:]})
            print(json.dumps(self.failures[-1], indent=1), file=sys.stderr, flush=True)
            self.bench.discard()
        return outcome.failed

    def series(self, scenario: Scenario, call: str, seen: int, args: argparse.Namespace) -> None:
        """All numbers of one call in one scenario."""
        misses = 0
        for number in range(1, args.upto + 1):
            misses = 0 if self.attempt(scenario, call, number) else misses + 1
            if misses >= MISSES:
                return
        beyond = range(args.upto + 1, seen + 1)
        for number in self.chance.sample(beyond, min(args.beyond, len(beyond))):
            self.attempt(scenario, call, number)

    def survey(self, words: list[str]) -> dict[tuple[Scenario, str], int]:
        """How often each call is made in each scenario, as far as they are wanted."""
        found: dict[tuple[Scenario, str], int] = {}
        for scenario in SCENARIOS:
            names = {call: f"{scenario.name} {call}" for call in CALLS}
            wanted = [call for call in CALLS if any(word in names[call] for word in words or [""])]
            counts = scenario.survey(self.bench) if wanted else {}
            found.update({(scenario, call): counts[call] for call in wanted if counts[call]})
        return found

    def sample(self, found: dict[tuple[Scenario, str], int], args: argparse.Namespace) -> None:
        """Some faults of all, each call of each scenario as likely as the others."""
        pairs = sorted(found, key=lambda pair: (pair[0].name, pair[1]))
        for _ in range(args.sample):
            scenario, call = self.chance.choice(pairs)
            self.attempt(scenario, call, self.chance.randint(1, min(found[scenario, call], 2_000)))

    def everything(self, found: dict[tuple[Scenario, str], int], args: argparse.Namespace) -> None:
        """All that is wanted, with a line about each series."""
        for (scenario, call), seen in found.items():
            began, before = time.monotonic(), self.tried[scenario.name]
            self.series(scenario, call, seen, args)
            tried = self.tried[scenario.name] - before
            print(
                f"{scenario.name}: {call} ({seen} seen): {tried} tried in "
                f"{time.monotonic() - began:.1f} s; {len(self.failures)} failures so far",
                file=sys.stderr,
                flush=True,
            )


def run(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The report."""
    began = time.monotonic()
    faults = CallFaults(folder / "orders")
    environment = faults.environment(build_library(folder))
    if args.trace:
        environment["FAILING_CALLS_TRACE"] = "1"
    starter = WarmStarter({**environment, "PYTHONMALLOC": "malloc"})
    bench = Bench(faults, starter, folder)
    run = Run(bench, random.Random(args.seed))
    try:
        found = run.survey(args.words)
        (run.sample if args.sample else run.everything)(found, args)
    finally:
        bench.discard()
        starter.close()
    return {
        "seed": args.seed,
        "seconds": round(time.monotonic() - began, 1),
        "tried": sum(run.tried.values()),
        "failed_calls": sum(run.hit.values()),
        "by_scenario": {
            name: {
                "tried": run.tried[name],
                "failed_calls": run.hit[name],
                "refused": run.refused[name],
                "replaced": run.deaths[name],
            }
            for name in run.tried
        },
        "failure_count": len(run.failures),
        "failures": run.failures[:20],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("words", nargs="*", metavar="WORD", help="a part of `scenario call`")
    parser.add_argument("--upto", type=int, default=200)
    parser.add_argument("--beyond", type=int, default=30)
    parser.add_argument("--sample", type=int, default=0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--trace", action="store_true", help="Python's frames at each fault")
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="failing-calls-"))
    report = run(args, folder)
    if report["failure_count"] == 0:
        shutil.rmtree(folder)
    print(json.dumps(report))
    return 1 if report["failure_count"] else 0


if __name__ == "__main__":
    sys.exit(main())
