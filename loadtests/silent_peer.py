"""What a node pays while its peer is dead, or frozen, or cut off without a word: nothing.

    python -m loadtests.silent_peer [--how dead|frozen|cut] [--seconds 120]

Two nodes in network namespaces (root only). REGISTERs come to the first one all the time, more
than its memory of changes holds; every so often they come as fast as it can take them, for the
figure. Bars: what it takes and what that costs, against before, 5 % at most worse in the median;
its clusterer's memory, 4 MB at most more; and when the peer is back, both are equal within 5 s.
Exit status 1: a bar was missed; 2: this process may not make namespaces.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from loadtests import processes
from loadtests.bad_links import CUT, GOOD, Links
from loadtests.fault_nodes import FaultNode, make_nodes, settle
from loadtests.faults import wait_equal
from loadtests.generating import generate
from loadtests.namespaces import NOT_PERMITTED, NotPermitted

USERS: Final = 5_000
BARS: Final = {"throughput": 0.95, "cost": 1.05, "memory_mb": 4.0, "equal_s": 5.0}


def burst(node: FaultNode, seconds: float) -> tuple[float, float]:
    """REGISTERs a second, and microseconds of processor time for each."""
    found = generate(node, "refresh", "-u", USERS, "-d", seconds, "-w", 64)
    return found["per_second"], found["server_cpu_us"]


def clusterer_memory(node: FaultNode) -> int:
    """Private bytes of its clusterer."""
    return processes.private_bytes(node.kinds()["clusterer"][0])


def silence(links: Links, peer: FaultNode, how: str) -> None:
    """The peer says nothing more."""
    if how == "dead":
        peer.kill_everything()
    elif how == "frozen":
        peer.freeze()
    else:
        links.set_all(CUT)


def bring_back(links: Links, peer: FaultNode, how: str) -> None:
    """The peer is there again."""
    if how == "dead":
        peer.start(30.0)
    elif how == "frozen":
        peer.thaw()
    else:
        links.set_all(GOOD)


def measure(links: Links, nodes: list[FaultNode], args: argparse.Namespace) -> dict[str, Any]:
    """Before, meanwhile, afterwards."""
    living, peer = nodes
    generate(living, "fill", "-u", USERS, "-w", 64)
    settle(nodes)
    burst(living, 1.0)
    before = [burst(living, 2.0) for _ in range(5)]
    settle(nodes)
    memory = [clusterer_memory(living)]
    silence(links, peer, args.how)
    until = time.monotonic() + args.seconds
    meanwhile = []
    while time.monotonic() < until:
        meanwhile.append(burst(living, 2.0))
        generate(living, "refresh", "-u", USERS, "-d", 5, "-r", args.rate)
        memory.append(clusterer_memory(living))
    bring_back(links, peer, args.how)
    equal_s = wait_equal(nodes, time.monotonic())
    memory.append(clusterer_memory(living))
    after = [burst(living, 2.0) for _ in range(3)]

    def ratio(some: list[tuple[float, float]], which: int) -> float:
        base = statistics.median(each[which] for each in before)
        return round(statistics.median(each[which] for each in some) / base, 3)

    return {
        "how": args.how,
        "throughput": ratio(meanwhile, 0),
        "cost": ratio(meanwhile, 1),
        "throughput_after": ratio(after, 0),
        "cost_after": ratio(after, 1),
        "per_second": round(statistics.median(each[0] for each in before)),
        "memory_mb": round((max(memory) - memory[0]) / 1e6, 2),
        "memory_course_mb": [round(each / 1e6, 1) for each in memory],
        "equal_s": equal_s,
    }


def perform(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The figures."""
    with Links(2, 1) as links:
        nodes = make_nodes(links, folder, capacity=2 * USERS)
        try:
            for node in nodes:
                node.start(30.0)
            settle(nodes)
            nodes[0].host = "127.0.0.1"  # where the generator is
            with links.entered(1):
                return measure(links, nodes, args)
        finally:
            for node in nodes:
                node.kill_everything()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--how", choices=("dead", "frozen", "cut"), default="frozen")
    parser.add_argument("--seconds", type=float, default=120.0, help="how long it is silent")
    parser.add_argument("--rate", type=int, default=1_000, help="REGISTERs a second meanwhile")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="silent-peer-") as folder:
        try:
            found = perform(args, Path(folder))
        except NotPermitted as error:
            print(error, file=sys.stderr)
            return NOT_PERMITTED
    print(json.dumps(found))
    good = (
        found["throughput"] >= BARS["throughput"]
        and found["cost"] <= BARS["cost"]
        and found["memory_mb"] <= BARS["memory_mb"]
        and found["equal_s"] is not None
        and found["equal_s"] <= BARS["equal_s"]
    )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
