"""`python -m tests.simulation --seeds 0:100000`: many clusters, until one of them breaks.

A failing seed is run again with as few faults as it takes, and printed with the end of its trace.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from multiprocessing import Pool

from tests.simulation.mutations import MUTATIONS, switched_off
from tests.simulation.simulation import Outcome, run, shrink

PROGRESS_S = 10


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", default="0:300", help="the first seed, and the one to stop at")
    parser.add_argument("--mutation", choices=sorted(MUTATIONS), help="switch off a safeguard")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--go-on", action="store_true", help="count failures, do not stop")
    parser.add_argument("--trace", type=int, default=80, help="lines of a failure's trace to print")
    options = parser.parse_args()
    first, _, end = options.seeds.partition(":")
    seeds = range(int(first), int(end or int(first) + 1))
    with switched_off(options.mutation) if options.mutation else nullcontext():
        return search(seeds, options.jobs, options.go_on, options.trace)


def search(seeds: range, jobs: int, go_on: bool, lines: int) -> int:
    """Run all; how many failed."""
    began = told = time.monotonic()
    injected: Counter[str] = Counter()
    failed = done = events = 0
    for outcome in outcomes(seeds, jobs):
        done += 1
        events += outcome.events
        injected.update(outcome.injected)
        injected.update({f"({name})": count for name, count in outcome.met.items()})
        if outcome.failure:
            failed += 1
            print(f"seed {outcome.seed}: {outcome.failure}", flush=True)
            if not go_on:
                report(shrink(outcome), lines)
                break
        if time.monotonic() - told > PROGRESS_S:
            told = time.monotonic()
            rate = done / (told - began)
            print(
                f"{done} of {len(seeds)} seeds, {rate:.1f} per second, {failed} failed", flush=True
            )
    summary(done, failed, events, injected, time.monotonic() - began)
    return failed


def outcomes(seeds: Iterable[int], jobs: int) -> Iterator[Outcome]:
    """The verdicts in the order of the seeds."""
    if jobs == 1:
        yield from map(run, seeds)
        return
    with Pool(jobs) as pool:
        yield from pool.imap(run, seeds, chunksize=4)


def report(outcome: Outcome, lines: int) -> None:
    """What is left of a failure when it is small."""
    print(f"\nseed {outcome.seed}, {outcome.nodes} nodes, trace {outcome.trace_sum}")
    print(f"{outcome.failure}\n\nwith these faults:")
    for fault in outcome.faults:
        print(f"  {fault}")
    print(f"\nthe last {lines} lines of its trace:")
    for line in outcome.trace[-lines:]:
        print(f"  {line}")


def summary(done: int, failed: int, events: int, injected: Counter[str], seconds: float) -> None:
    """What was done."""
    print(f"\n{done} seeds, {failed} failed, {events} events, {seconds:.0f} s")
    for kind, count in sorted(injected.items()):
        print(f"  {count:>10} {kind}")


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
