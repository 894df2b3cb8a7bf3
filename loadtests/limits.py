"""Offered against admitted, for each algorithm at 1, 2 and 10 times its limit, over real processes.

    python -m loadtests.limits [--workers 4] [--seconds 4] [--limit 200]

Prints a line for each: what was offered and admitted, the most in any window or interval, and the
cost of one check. FEEDBACK is given a machine whose load is what it admits; NETWORK one whose queue
grows with what is offered.
"""

from __future__ import annotations

import argparse
import os
import struct
import tempfile
import time
from collections import Counter
from pathlib import Path

from proxy.limits import algorithms
from proxy.limits.feedback import Course, Gains, step
from proxy.limits.source import source_of
from proxy.shm import pipe_view
from proxy.shm.pipe_layout import Timing
from proxy.shm.pipes import ADMITTED, Pipes
from proxy.shm.sources import Sources

TIMES = (1, 2, 10)
INTERVAL_MS = 1_000
TIMING = Timing(INTERVAL_MS, INTERVAL_MS, 20, limit_per_interval=True)
CHECKS = 200_000


def now_ms() -> int:
    """The clock of pipes."""
    return time.monotonic_ns() // 1_000_000


def offer(pipes: Pipes, algorithm: int, limit: int, rate: float, until: int, log: Path) -> None:
    """One process: `rate` checks a millisecond, evenly; the moments of those admitted."""
    admitted = bytearray()
    begin, sent = now_ms(), 0
    while (now := now_ms()) < until:
        while sent < (now - begin) * rate:
            sent += 1
            moment = now_ms()
            if pipes.check(b"load", limit, algorithm, moment) == ADMITTED:
                admitted += struct.pack("=Q", moment)
        time.sleep(0.001)
    log.write_bytes(bytes(admitted))


def surroundings(pipes: Pipes, times: int, until: int) -> None:
    """What the timekeeper would say, five times a second."""
    course = Course()
    while (now := now_ms()) < until:
        admitted = sum(pipe.counter for pipe in pipe_view.listing(pipes, now))
        load = min(admitted / 2_000, 1.0)
        pipe_view.sample(pipes, load, 1_000 * times, now)
        rate, course = step(Gains(), 0.1, load, course)
        pipe_view.set_drop_rate(pipes, b"load", rate)
        time.sleep(0.2)


def run(algorithm: int, times: int, arguments: argparse.Namespace, folder: Path) -> bool:
    """Print one line of the table; whether the limit has held in every interval."""
    pipes = Pipes.create(None, 16, TIMING, seed=7)
    limit = {algorithms.NETWORK: 5_000, algorithms.FEEDBACK: 10}.get(algorithm, arguments.limit)
    until = now_ms() + arguments.seconds * 1_000
    rate = arguments.limit * times / INTERVAL_MS / arguments.workers
    logs = [folder / f"{algorithm}-{times}-{number}" for number in range(arguments.workers)]
    children = []
    for log in logs:
        if not (pid := os.fork()):
            offer(pipes, algorithm, limit, rate, until, log)
            os._exit(0)
        children.append(pid)
    surroundings(pipes, times, until)
    for pid in children:
        os.waitpid(pid, 0)
    moments = sorted(m for log in logs for (m,) in struct.iter_unpack("=Q", log.read_bytes()))
    offered = arguments.limit * times * arguments.seconds
    most = max(Counter(moment // INTERVAL_MS for moment in moments).values(), default=0)
    print(
        f"{algorithms.NAMES[algorithm]:9} {times:3}x offered {offered:7} admitted {len(moments):6} "
        f"({len(moments) / offered:4.0%}) most in one interval {most:5}",
        flush=True,
    )
    return most <= limit or algorithm in {algorithms.NETWORK, algorithms.FEEDBACK}


def cost(algorithm: int) -> str:
    """Nanoseconds of one check that admits, and of one that refuses."""
    pipes = Pipes.create(None, 16, TIMING, seed=7)
    figures = []
    for limit in (2**31 - 1, 0):
        begin = time.perf_counter_ns()
        for _ in range(CHECKS):
            pipes.check(b"load", limit, algorithm, 1_000_000)
        figures.append((time.perf_counter_ns() - begin) / CHECKS)
    return (
        f"{algorithms.NAMES[algorithm]:9} {figures[0]:4.0f} ns admits, {figures[1]:4.0f} ns refuses"
    )


def cost_of_guard() -> str:
    """Nanoseconds of counting one datagram of one source, of many, and of a banned one."""
    sources = Sources.create(None, 65_536, unit=2_000, density=2**31, seed=7)
    first, figures = source_of("10.0.0.1"), []
    for spread, banned in ((1, False), (10_000, False), (1, True)):
        if banned:
            sources.ban(first, 2_000_000)
        begin = time.perf_counter_ns()
        for number in range(CHECKS):
            sources.note(first + number % spread, 1_000_000)
        figures.append((time.perf_counter_ns() - begin) / CHECKS)
    return "flood guard {:.0f} ns one source, {:.0f} ns of 10,000 sources, {:.0f} ns banned".format(
        *figures
    )


def main() -> int:
    """Print the tables; 1 when a limit has not held."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--limit", type=int, default=200, help="per second")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        held = [
            run(algorithm, times, arguments, Path(folder))
            for algorithm in range(len(algorithms.NAMES))
            for times in TIMES
        ]
    for algorithm in range(len(algorithms.NAMES)):
        print(cost(algorithm))
    print(cost_of_guard())
    return 0 if all(held) else 1


if __name__ == "__main__":
    raise SystemExit(main())
