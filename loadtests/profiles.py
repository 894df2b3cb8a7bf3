"""A cap of N under ten times N attempts at once, many times over; and what joining a profile costs.

    python -m loadtests.profiles [--workers 4] [--rounds 1000] [--cap 10]

Without a server, over real processes that all run into the same profile at the same moment. Prints
how many rounds admitted exactly N, and the nanoseconds of a step in profiles of 10 to 20 000 calls.
"""

from __future__ import annotations

import argparse
import os
import time

from proxy.errors import LockTimeout
from proxy.shm.profile_table import ProfileTable

SIZES = (10, 1_000, 20_000)
STEPS = 5_000
NOW = 1


def did(number: int) -> bytes:
    """An id of a dialog."""
    return number.to_bytes(8, "little") + bytes(8)


def attempt(table: ProfileTable, which: int, rounds: int, each: int, cap: int) -> int:
    """One process: `each` attempts in every round; how often it met a lock held for too long."""
    late = 0
    for round_ in range(rounds):
        key = b"trunk\0%d" % round_
        for number in range(each):
            who = did(which << 48 | round_ << 16 | number)
            while True:
                try:
                    table.join(key, who, 1, cap, NOW)
                    break
                except LockTimeout:
                    late += 1
    return late


def race(workers: int, rounds: int, cap: int) -> bool:
    """Whether every round admitted exactly `cap`."""
    table = ProfileTable.create(None, 2 * rounds, 4 * rounds * cap)
    each = 10 * cap // workers
    children = []
    for which in range(workers):
        pid = os.fork()
        if pid == 0:
            attempt(table, which, rounds, each, cap)
            os._exit(0)
        children.append(pid)
    for pid in children:
        os.waitpid(pid, 0)
    exact = sum(table.size(b"trunk\0%d" % round_, NOW) == cap for round_ in range(rounds))
    print(f"{exact} of {rounds} rounds admitted exactly {cap} of {workers * each}")
    return exact == rounds


def cost(size: int) -> str:
    """Nanoseconds of one join, one leave and one question in a profile without value."""
    table = ProfileTable.create(None, 64, 4 * size)
    for number in range(size):
        table.join(b"all\0", did(number), 1, 0, NOW)
    steps = [did(size + number) for number in range(min(STEPS, size))]
    started = time.perf_counter_ns()
    for who in steps:
        table.join(b"all\0", who, 1, 10 * size, NOW)
    joined = time.perf_counter_ns()
    for _ in steps:
        table.size(b"all\0", NOW)
    asked = time.perf_counter_ns()
    for who in steps:
        table.leave(b"all\0", who, NOW)
    left = time.perf_counter_ns()
    count = len(steps)
    return (
        f"{size:>7} members: join {(joined - started) // count} ns, "
        f"size {(asked - joined) // count} ns, leave {(left - asked) // count} ns"
    )


def main() -> int:
    """Both; 1 if a round admitted another number."""
    parser = argparse.ArgumentParser(prog="loadtests.profiles", description=__doc__)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=1_000)
    parser.add_argument("--cap", type=int, default=10)
    arguments = parser.parse_args()
    for size in SIZES:
        print(cost(size))
    return 0 if race(arguments.workers, arguments.rounds, arguments.cap) else 1


if __name__ == "__main__":
    raise SystemExit(main())
