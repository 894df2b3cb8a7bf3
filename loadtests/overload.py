"""More than the server can do: what it gets done, how fast, and for whom.

    python -m loadtests.overload [--seconds 120] [--factor 2] [--policy-us N] [--untimed]

The server has one half of the processors, the generator the other. First its capacity is measured
in a closed loop of refreshes and, one in five, calls; then `factor` times as much is offered in an
open loop, whatever the server does, with calls that are hung up after two seconds; then half of the
capacity for ten seconds. Goodput counts what was done by what it costs: a call as many times a
refresh as it was measured to take. `--policy-us` makes the policy burn so much time for each new
request, as one that does something would; `--untimed` asks only for what no clock decides, at a
`--rate` that is surely too much, and measures nothing.
Exit status 1: a bar is not met.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from loadtests import processes
from loadtests.generating import generate
from loadtests.servers import ROOT, Server, Sipherd

USERS: Final = 1_000
CALL_EVERY: Final = 5
HOLD_S: Final = 2
WINDOW: Final = 128  # operations at a time: enough to be busy, too few for a standing queue
PATIENT: Final = 16  # the same with a slow policy
GOODPUT: Final = 0.9
P99_MS: Final = 100.0
CALM_S: Final = 5.0
GROWTH_BYTES: Final = 32 << 20
SAMPLE_S: Final = 1.0
BURN: Final = """import time
from importlib.machinery import SourceFileLoader

usual = SourceFileLoader("usual", {usual!r}).load_module()


async def on_request(request):
    until = time.thread_time() + {seconds}
    while time.thread_time() < until:
        pass
    await usual.on_request(request)
"""


def halves() -> tuple[set[int], set[int]]:
    """Processors for the server and for the generator; the same ones if there is only one."""
    every = sorted(os.sched_getaffinity(0))
    middle = len(every) // 2
    return (set(every[:middle]), set(every[middle:])) if middle else (set(every), set(every))


@contextmanager
def on(processors: set[int]) -> Iterator[None]:
    """What is started meanwhile runs there."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, processors)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@dataclass
class Memory:
    """The workers' own memory, once a second."""

    server: Sipherd
    samples: list[int] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)

    def watch(self) -> None:
        """Until it is over."""
        while not self._over.wait(SAMPLE_S):
            pids = self.server.workers_alive()
            self.samples.append(sum(map(processes.private_bytes, pids)))

    def __enter__(self) -> Memory:
        self._thread = threading.Thread(target=self.watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    @property
    def growth(self) -> int:
        """From the end of the first quarter to the most of the last one."""
        quarter = max(1, len(self.samples) // 4)
        return max(self.samples[-quarter:]) - self.samples[quarter - 1] if self.samples else 0


def server_for(folder: Path, policy_us: int) -> Sipherd:
    """A server, with a policy that takes its time if it is to."""
    settings = ""
    if policy_us:
        script = folder / "burn.py"
        usual = str(ROOT / "conf" / "routing.py")
        script.write_text(BURN.format(usual=usual, seconds=policy_us / 1e6))
        settings = f"[routing]\nscript = {json.dumps(str(script))}\n"
    return Sipherd(folder, capacity=20_000, settings=settings, sheds=True)


def capacity_of(server: Server, window: int, seconds: float) -> dict[str, float]:
    """What it does of the mix when it is never idle, and what one of each kind costs."""
    mix: tuple[object, ...] = ("-u", USERS, "-w", window, "-c", CALL_EVERY)
    generate(server, "mix", *mix, "-d", 1, strict=False)  # caches, branch predictors
    done = generate(server, "mix", *mix, "-d", seconds, strict=False)
    refresh = generate(server, "refresh", "-u", USERS, "-w", window, "-d", 2, strict=False)
    call = generate(server, "call", "-u", USERS, "-w", window // 2, "-d", 2, strict=False)
    weight = call["server_cpu_us"] / refresh["server_cpu_us"]
    return {
        "operations": done["per_second"],
        "weight": weight,
        "work": (done["refreshes"] + weight * done["calls"]) / done["seconds"],
    }


def bars(found: dict[str, Any], untimed: bool) -> dict[str, bool]:
    """What has to hold."""
    shed = found["shed"]
    always = {
        "everything within calls was served": found["byes"] == found["byes_answered"] > 0,
        "work was turned away and counted": sum(shed.values()) > 0,
        "no worker was replaced": found["restarts"] == 0,
        "no fault of ours was found": found["internal_errors"] == 0,
        "nothing was lost in queues": found["receive_drops"] == 0,
    }
    if untimed:
        return always
    return always | {
        f"goodput is {GOODPUT:.0%} of capacity": found["goodput"] >= GOODPUT,
        f"p99 of what was admitted is {P99_MS:.0f} ms": max(
            found["setup_p99_ms"], found["refresh_p99_ms"]
        )
        <= P99_MS,
        f"all is well after {CALM_S:.0f} s": found["calm_after_s"] <= CALM_S,
        "memory is flat": found["growth_bytes"] <= GROWTH_BYTES,
        "the generator kept up": found["generator_lag_ms"] < P99_MS and not found["skipped"],
    }


def offer(
    server: Server, window: int, rate: float, seconds: float, *more: object
) -> dict[str, Any]:
    """The mix in an open loop."""
    mix: tuple[object, ...] = ("-u", USERS, "-w", window, "-c", CALL_EVERY, "-H", HOLD_S)
    load = (*mix, "-r", round(rate), "-d", seconds, *more)
    return generate(server, "mix", *load, timeout=seconds + 180, strict=False)


def measure(
    server: Sipherd, window: int, args: argparse.Namespace, memory: Memory
) -> dict[str, Any]:
    """Capacity, overload, calm."""
    capacity = capacity_of(server, window, min(args.seconds / 4, 5))
    rate = args.rate or args.factor * capacity["operations"]
    print(f"capacity {capacity}, offering {rate:.0f}/s", file=sys.stderr, flush=True)
    memory.samples.clear()
    half = round(capacity["operations"] / 2)
    found = offer(server, window, rate, args.seconds, "-A", half)
    # What the ten seconds at half of the capacity have done is not counted.
    calm = 10 * capacity["work"] / 2
    work = (found["refreshes"] + capacity["weight"] * found["calls"] - calm) / args.seconds
    return found | {"capacity": capacity, "goodput": work / capacity["work"]}


def run(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """A server, and more than it can do."""
    theirs, ours = halves()
    window = PATIENT if args.policy_us else WINDOW
    with on(theirs):
        server = server_for(folder, args.policy_us)
        server.start()
    try:
        with on(ours), Memory(server) as memory:
            if args.untimed:
                found = offer(server, window, args.rate, args.seconds)
            else:
                found = measure(server, window, args, memory)
        counted = server.statistics("sipherd:")
        log = server.log
    finally:
        server.stop()
    found |= {
        "shed": {name[13:]: n for name, n in counted.items() if name.startswith("sipherd:shed_")},
        "overloads": counted["sipherd:overloads"],
        "restarts": counted["sipherd:restarts"],
        "internal_errors": counted["sipherd:internal_errors"],
        "receive_drops": counted["sipherd:receive_drops"] + counted["sipherd:inbox_full"],
        "growth_bytes": memory.growth,
        "lines": [line for line in log.splitlines() if "overload" in line][:8],
    }
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--factor", type=float, default=2.0)
    parser.add_argument("--rate", type=float, help="operations per second instead of a factor")
    parser.add_argument("--policy-us", type=int, default=0)
    parser.add_argument("--untimed", action="store_true")
    args = parser.parse_args()
    if args.untimed and not args.rate:
        parser.error("--untimed needs a --rate, for nothing is measured")
    with tempfile.TemporaryDirectory(prefix="overload-") as folder:
        found = run(args, Path(folder))
    verdict = bars(found, args.untimed)
    for what, met in verdict.items():
        print(f"{'met' if met else 'NOT MET':8}{what}", file=sys.stderr)
    print(json.dumps({**found, "bars": verdict}))
    return 0 if all(verdict.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
