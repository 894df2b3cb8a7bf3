"""One of locust's scenarios against a server started for it, with a table and a picture.

    python -m loadtests.scenario steady|storm|calls|failover [--users 300] [--seconds 60]

`failover` is a pair: the first node is killed (-9, all of it) after a third of the time and comes
back after two thirds; its telephones turn to the second. Progress and table are locust's own.
Exit status 1: an operation failed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from loadtests.pair import make_pair
from loadtests.replication import settle
from loadtests.servers import ROOT, Sipherd

CAPACITY = 50_000
CLASSES = {
    "steady": "SteadyRegistrar",
    "storm": "MorningStorm",
    "calls": "CallMix",
    "failover": "FailoverPair",
}


@contextmanager
def servers(scenario: str, folder: Path) -> Iterator[list[Sipherd]]:
    """What the telephones talk to: one server, or a pair that knows the same."""
    if scenario != "failover":
        with Sipherd(folder, capacity=CAPACITY) as server:
            yield [server]
        return
    pair = make_pair(folder, CAPACITY)
    with pair[0], pair[1]:
        settle(*pair)
        yield list(pair)


def start_locust(args: argparse.Namespace, nodes: list[Sipherd]) -> subprocess.Popen[bytes]:
    """The telephones, in a process of their own."""
    words = [
        *("-f", ROOT / "loadtests" / "locustfile.py", "--headless"),
        *("-u", args.users, "-r", max(1, args.users // 5), "-t", f"{args.seconds}s"),
        *("--host", f"sip://{nodes[0].host}:{nodes[0].port}", "--sip-domain", nodes[0].domain),
        *(("--picture", args.picture) if args.picture else ()),
    ]
    if len(nodes) > 1:
        words += ["--sip-second", f"sip://{nodes[1].host}:{nodes[1].port}"]
    return subprocess.Popen(
        [sys.executable, "-m", "locust", *map(str, words), CLASSES[args.scenario]],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scenario", choices=CLASSES)
    parser.add_argument("--users", type=int, default=300)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--picture", type=Path, help="draw rate, latency and failures here (PNG)")
    args = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="scenario-") as folder,
        servers(args.scenario, Path(folder)) as nodes,
        start_locust(args, nodes) as running,
    ):
        if len(nodes) > 1:
            time.sleep(args.seconds / 3)
            print(f"{nodes[0].host} is killed", file=sys.stderr, flush=True)
            nodes[0].kill_everything()
            time.sleep(args.seconds / 3)
            nodes[0].start()
            print(f"{nodes[0].host} is back", file=sys.stderr, flush=True)
        return 1 if running.wait() else 0


if __name__ == "__main__":
    sys.exit(main())
