"""What it costs to share registrations with a second node, and how soon that one has them.

    python -m loadtests.replication [--users 10000] [--seconds 6] [--phones 100000] [--rounds 3]

Two nodes with encrypted links on 127.0.0.1 and 127.0.0.2, and one alone, in the same run:

* cost: processor time per REGISTER of the node alone, of the first node of the pair, and of the
  second, in turns. Bars: first <= 1.25 x alone, second <= 0.6 x first.
* lag: from the 200 at the first node to the first OPTIONS that the second forwards to the phone,
  idle and beside half the load the pair can take. Bars: p50 <= 1 ms, p99 <= 10 ms; p99 <= 50 ms.
* sync: phones to a second node that has just started and is empty, from its first answer until it
  has all; then the digests are equal. And the first node's p99 while it gives all its phones to a
  node that took no part so far. Bars: 1.5 s, twice the p99 without.

Exit status 1: a bar was missed, or a phone was lost.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from loadtests import processes
from loadtests.generating import build, generate, local_ports
from loadtests.lag import measure_lag
from loadtests.pair import ClusterNode, make_pair
from loadtests.servers import Server, ServerFailed, Sipherd, wait_until

Found = dict[str, Any]
WINDOW = 128
PATIENCE_S = 30.0
BARS = {
    "first_to_alone": 1.25,
    "second_to_first": 0.6,
    "idle_p50_ms": 1.0,
    "idle_p99_ms": 10.0,
    "busy_p99_ms": 50.0,
    "sync_s": 1.5,
    "donor_p99_ratio": 2.0,
}


def equal(first: ClusterNode, second: ClusterNode) -> bool:
    """Whether both say that they are synced, and have the same digest."""
    one, other = first.status(), second.status()
    return bool(
        one.get("synced") and other.get("synced") and one.get("digest") == other.get("digest")
    )


def settle(first: ClusterNode, second: ClusterNode) -> None:
    """Wait until the nodes hold the same."""
    if not wait_until(lambda: equal(first, second), PATIENCE_S):
        raise ServerFailed(f"the nodes do not agree: {first.status()} {second.status()}")


# -- cost ------------------------------------------------------------------------------------------


def refresh_cost(server: Server, args: argparse.Namespace) -> Found:
    """One closed loop of REGISTERs."""
    return generate(server, "refresh", "-u", args.users, "-d", args.seconds, "-w", WINDOW)


def pair_cost(first: ClusterNode, second: ClusterNode, args: argparse.Namespace) -> Found:
    """The same at the first node of a pair, with what the second spends on it."""
    roles, before = first.cpu_by_role(), processes.cpu_seconds(second.pid)
    found = refresh_cost(first, args)
    settle(first, second)
    operations = found["done"] + args.users  # the generator fills the table first
    spent = processes.cpu_seconds(second.pid) - before
    found["second_us"] = spent * 1e6 / operations
    found["first_roles_us"] = {
        role: round((used - roles.get(role, 0.0)) * 1e6 / operations, 2)
        for role, used in first.cpu_by_role().items()
    }
    return found


def cost(
    alone: Sipherd, first: ClusterNode, second: ClusterNode, args: argparse.Namespace
) -> Found:
    """Alone and in the pair, in turns, so that both meet the same neighbours."""
    rows = [(refresh_cost(alone, args), pair_cost(first, second, args)) for _ in range(args.rounds)]
    alone_us = statistics.median(row[0]["server_cpu_us"] for row in rows)
    first_us = statistics.median(row[1]["server_cpu_us"] for row in rows)
    second_us = statistics.median(row[1]["second_us"] for row in rows)
    return {
        "alone_us": round(alone_us, 2),
        "first_us": round(first_us, 2),
        "second_us": round(second_us, 2),
        "first_to_alone": round(first_us / alone_us, 3),
        "second_to_first": round(second_us / first_us, 3),
        "alone_per_second": round(statistics.median(row[0]["per_second"] for row in rows)),
        "pair_per_second": round(statistics.median(row[1]["per_second"] for row in rows)),
        "first_roles_us": rows[-1][1]["first_roles_us"],
    }


# -- lag -------------------------------------------------------------------------------------------


def busy_lag(first: ClusterNode, second: ClusterNode, rate: float, users: int) -> Found:
    """The lag beside REGISTERs at `rate`."""
    command = [str(build()), "refresh", "-t", f"{first.host}:{first.port}", "-p", str(first.pid)]
    command += ["-f", str(local_ports(first)), "-u", str(users), "-d", "20", "-r", str(rate)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as load:
        time.sleep(2)
        found = measure_lag((first.host, first.port), (second.host, second.port))
        load.terminate()
    return found


# -- sync ------------------------------------------------------------------------------------------


def donor_p99(first: ClusterNode, seconds: float, args: argparse.Namespace) -> float:
    """The first node's p99 under a light load."""
    options = ("-u", 1_000, "-d", seconds, "-r", args.rate)
    return float(generate(first, "refresh", *options)["p99_ms"])


def sync(first: ClusterNode, second: ClusterNode, args: argparse.Namespace) -> Found:
    """Phones to a running node that has taken no part so far, under load; then to a new one."""
    second.ctl("clusterer_set_status", cluster_id=1, status=0)
    generate(first, "fill", "-u", args.phones, "-w", 256)
    quiet = donor_p99(first, 5, args)
    with load(first, 5, args) as beside:
        time.sleep(1)
        began = time.monotonic()
        second.ctl("clusterer_set_status", cluster_id=1, status=1)
        wait_for_all(first, second, args.phones)
        busy_s = time.monotonic() - began
        out, _ = beside.communicate(timeout=60)
    loaded = json.loads(out.splitlines()[-1])["p99_ms"]
    settle(first, second)
    second.stop()
    for file in second.runtime_dir.iterdir():
        file.unlink()
    second.start()
    began = time.monotonic()
    wait_for_all(first, second, args.phones)
    idle_s = time.monotonic() - began
    settle(first, second)
    return {
        "sync_s": round(idle_s, 2),
        "sync_under_load_s": round(busy_s, 2),
        "donor_p99_ms": [quiet, loaded],
        "donor_p99_ratio": round(loaded / quiet, 2),
    }


def load(first: ClusterNode, seconds: float, args: argparse.Namespace) -> subprocess.Popen[str]:
    """A light load on the first node, beside what follows."""
    command = [str(build()), "refresh", "-t", f"{first.host}:{first.port}", "-p", str(first.pid)]
    command += ["-f", str(local_ports(first)), "-u", "1000", "-d", str(seconds)]
    return subprocess.Popen([*command, "-r", str(args.rate)], stdout=subprocess.PIPE, text=True)


def wait_for_all(first: ClusterNode, second: ClusterNode, phones: int) -> None:
    """Until the second node has all phones."""
    if not wait_until(lambda: second.registered() >= phones, PATIENCE_S, 0.005):
        raise ServerFailed(f"only some phones came: {first.status()} {second.status()}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--users", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--phones", type=int, default=100_000)
    parser.add_argument("--rate", type=int, default=2_000, help="REGISTERs a second beside a sync")
    parser.add_argument("--only", choices=("cost", "lag", "sync"), help="one part alone")
    args = parser.parse_args()
    parts = (args.only,) if args.only else ("cost", "lag", "sync")
    found: Found = {}
    with tempfile.TemporaryDirectory(prefix="replication-") as folder:
        first, second = make_pair(Path(folder), args.phones + 2 * args.users)
        alone = Sipherd(Path(folder), capacity=2 * args.users)
        with alone, first, second:
            settle(first, second)
            if "cost" in parts:
                found |= cost(alone, first, second, args)
            if "lag" in parts:
                rate = found.get("pair_per_second", 10_000) / 2
                idle = measure_lag((first.host, first.port), (second.host, second.port))
                busy = busy_lag(first, second, rate, args.users)
                found |= {f"idle_{name}": value for name, value in idle.items()}
                found |= {f"busy_{name}": value for name, value in busy.items()}
            if "sync" in parts:
                found |= sync(first, second, args)
    missed = [name for name, bar in BARS.items() if name in found and found[name] > bar]
    lost = sum(found.get(f"{part}_lost", 0) for part in ("idle", "busy"))
    print(json.dumps({**found, "bars": BARS, "missed": missed, "lost": lost}))
    return 1 if missed or lost else 0


if __name__ == "__main__":
    sys.exit(main())
