"""kill -9 of random processes at random moments, under registrations and calls.

    python -m loadtests.kill_storm [--kills 300] [--roles all] [--seed N] [--phones 300]

Without --roles it is workers that die. `all` means every kind of process but the supervisor, each
kind by itself and all at the same time, on a node that writes registrations through to a database,
tracks calls and shares both with a second node.

Afterwards every registration that got its 200 is there and none other: in the table, in the
database, on the other node; each call has come to its end and has one record; the tables are clean.
The JSON says how fast the dead were replaced. Two delays are taken: until the new process exists
(`replaced`), and for workers until a datagram that was sent to the dead one's socket or shard right
after the kill is answered (`serving`). Meanwhile generator.c keeps the workers busy, so that kills
hit them in the middle of something; it must not give up on anything either, unless storage dies: a
REGISTER is then told to come again (503) as long as nobody can write it down, and a telephone that
hears nothing for 32 s, since workers die sooner than they could say even that, begins anew.
Exit status 1: one of these is not so.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack, closing
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from loadtests import processes
from loadtests.calls import records
from loadtests.killing import Killer
from loadtests.pair import ClusterNode, make_pair
from loadtests.replication import equal
from loadtests.servers import DOMAIN, Sipherd, wait_until
from loadtests.traffic import Load, Traffic, compare_bindings, contacts, report_of
from loadtests.wire import request
from workers.storage.setup import create

REPLACED_P99_MS = 100.0
ENOUGH = 100  # deaths for a 99th percentile
WORKER = "udp worker"
ROLES = (WORKER, "storage", "clusterer", "timekeeper", "control", "lookups")
PROBES = 12
CAPACITY = 20_000
DATABASE = "storm.db"
DIALOGS = '[dialog]\nenabled = true\ncapacity = 20_000\ndelete_delay = 2\ncdr_file = "cdr.jsonl"\n'
EVERYTHING = """
[registrar]
retry_after = 1
cseq_delay = 40  # whoever waits for a database that dies all the time may repeat for 32 s
[storage]
urls = ["sqlite:///{database}"]
mode = "single-instance-sql-write-through"
[lookups]
enabled = {lookups}
"""


class Storm:
    """The load, the killer and the books of one run."""

    def __init__(self, server: Sipherd, args: argparse.Namespace) -> None:
        self.server, self.args = server, args
        chance = random.Random(args.seed)
        load = Load(
            phones=args.phones,
            calls_per_second=args.calls_per_second,
            background=args.background,
            background_users=max(3_000, int(3 * args.background)),
            slice_s=4 if args.kills > 50 else 1.5,
            may_wait="storage" in args.roles,
        )
        self.traffic = Traffic(server, load, chance)
        self.killer = Killer(server, chance, args.pause)
        self.serving: list[float] = []
        self.lost_probes = self.in_setup_at_kills = 0

    def on_kill(self, role: str) -> None:
        """A process has died a moment ago."""
        self.in_setup_at_kills += self.traffic.in_setup
        if role == WORKER:
            self.traffic.spawn(self.probe(time.monotonic()))
        if self.killer.kills % 50 == 0:
            said = f"{self.killer.kills} kills, {len(self.traffic.tally.failures)} failures"
            print(said, file=sys.stderr, flush=True)

    async def probe(self, killed: float) -> None:
        """OPTIONS right after the kill, half of them for the dead: when is all answered?"""
        last = 0.0
        answers: asyncio.Queue[float] = asyncio.Queue()
        for number in range(PROBES):
            line = self.traffic.lines[number % len(self.traffic.lines)]
            name = f"probe-{killed:.6f}-{number}"
            line.owners[name] = lambda _: answers.put_nowait(time.monotonic())
            address = f"<sip:probe@{DOMAIN}>"
            line.send(
                request(line, "OPTIONS", f"sip:{DOMAIN}", name, 1, f"{address};tag=p", address)
            )
            await asyncio.sleep(0.001)
        got = 0
        try:
            while got < PROBES:
                last = await asyncio.wait_for(answers.get(), killed + 3 - time.monotonic())
                got += 1
        except TimeoutError:
            self.lost_probes += PROBES - got
        if got:
            self.serving.append(1e3 * (last - killed))
        for line in self.traffic.lines:
            for number in range(PROBES):
                line.owners.pop(f"probe-{killed:.6f}-{number}", None)

    async def run(self) -> None:
        """The whole storm, and the calm after it."""
        await self.traffic.prepare()
        self.traffic.start()
        await asyncio.sleep(1.0)
        await self.killer.kill(self.args.roles, self.args.kills, self.on_kill)
        await asyncio.sleep(0.5)
        await self.traffic.finish()


def latency(values: list[float]) -> dict[str, float]:
    """Median, 99th percentile and worst, in milliseconds."""
    ordered = sorted(values) or [0.0]
    return {
        name: round(ordered[int(share * (len(ordered) - 1))], 2)
        for name, share in (("p50_ms", 0.5), ("p99_ms", 0.99), ("max_ms", 1.0))
    }


def world(args: argparse.Namespace, folder: Path) -> tuple[Sipherd, ClusterNode | None]:
    """The server to torment, and the other node of its cluster if it has one."""
    if args.roles == [WORKER]:
        return Sipherd(folder, capacity=CAPACITY), None
    lookups = json.dumps("lookups" in args.roles)
    settings = EVERYTHING.format(database=folder / DATABASE, lookups=lookups) + DIALOGS
    create(f"sqlite:///{folder / DATABASE}")
    return make_pair(folder, CAPACITY, (settings, DIALOGS), ("location", "dialogs"))


def in_database(file: Path) -> dict[str, set[str]]:
    """Each user's contacts by the rows of `location`."""
    found: dict[str, set[str]] = {}
    with closing(sqlite3.connect(file)) as database:
        for user, contact in database.execute("SELECT username, contact FROM location"):
            found.setdefault(user, set()).add(contact)
    return found


def books(storm: Storm, folder: Path, other: ClusterNode | None) -> dict[str, Any]:
    """Where each registration has to be, and what is left of the calls."""
    traffic, server = storm.traffic, storm.server
    found: dict[str, Any] = {"bindings": compare_bindings(traffic, contacts(server))}
    if other is None:
        return found
    found["in_database"] = compare_bindings(traffic, in_database(folder / DATABASE))
    assert isinstance(server, ClusterNode)
    found["nodes_equal"] = wait_until(lambda: equal(server, other), 30)
    found["on_other_node"] = compare_bindings(traffic, contacts(other))
    wait_until(lambda: len(records_of(server, traffic)) >= len(traffic.ended), 30, 0.5)
    written = Counter(records_of(server, traffic))
    found["calls_ended"] = len(traffic.ended)
    found["wrong_records"] = [call for call in traffic.ended if written[call] != 1][:20]
    wait_until(lambda: not server.ctl("dlg_list")["count"], 30, 0.5)
    found["calls_left"] = server.ctl("dlg_list")["count"]
    return found


def records_of(server: Sipherd, traffic: Traffic) -> list[str]:
    """The Call-IDs of the records of our calls, each as often as it is there."""
    ours = set(traffic.ended)
    return [row["call_id"] for row in records(server.directory) if row["call_id"] in ours]


def is_complete(found: dict[str, Any]) -> bool:
    """Whether nothing is missing, and nothing too much."""
    places = [found[name] for name in ("bindings", "in_database", "on_other_node") if name in found]
    wrong = [place for place in places if place["missing"] or place["surplus"]]
    left = found.get("wrong_records") or found.get("calls_left")
    return found.get("nodes_equal", True) and not (wrong or left)


def run(args: argparse.Namespace, folder: Path) -> tuple[dict[str, Any], bool]:
    """The report, and whether all of it is as it must be."""
    server, other = world(args, folder)
    began = time.monotonic()
    with ExitStack() as stack:
        for node in filter(None, (server, other)):
            stack.enter_context(node)
        storm = Storm(server, args)
        before = (processes.private_bytes(server.pid), processes.descriptors(server.pid))
        asyncio.run(storm.run())
        after = (processes.private_bytes(server.pid), processes.descriptors(server.pid))
        found = books(storm, folder, other)
        check = server.table_check()
        alive = processes.alive(server.pid) and len(server.workers_alive()) == server.workers
    replaced = {role: latency(values) for role, values in storm.killer.replaced.items()}
    report = {
        "seed": args.seed,
        "kills": storm.killer.kills,
        "kills_by_role": {role: len(times) for role, times in storm.killer.replaced.items()},
        "seconds": round(time.monotonic() - began, 1),
        "replaced": replaced,
        "up": {role: latency(values) for role, values in storm.killer.up.items()},
        "serving": latency(storm.serving),
        "not_replaced": storm.killer.not_replaced,
        "lost_probes": storm.lost_probes,
        **found,
        "in_setup_at_kills": storm.in_setup_at_kills,
        **report_of(storm.traffic),
        "supervisor_grew_bytes": after[0] - before[0],
        "supervisor_descriptors": [before[1], after[1]],
        "table_check": (check.stdout + check.stderr).strip(),
        "table_clean": check.returncode == 0,
        "alive": alive,
    }
    is_timed = other is None and args.kills >= ENOUGH
    good = (
        alive
        and check.returncode == 0
        and not storm.traffic.tally.failures
        and not storm.traffic.tally.merged
        and not storm.killer.not_replaced
        and is_complete(found)
        and (not is_timed or replaced[WORKER]["p99_ms"] <= REPLACED_P99_MS)
    )
    return report, good


def roles_of(text: str) -> list[str]:
    """What `--roles` names."""
    roles = list(ROLES) if text == "all" else text.split(",")
    if unknown := set(roles) - set(ROLES):
        raise argparse.ArgumentTypeError(f"{unknown} is none of {ROLES}")
    if text == "all" and find_spec("aiohttp") is None:
        roles.remove("lookups")  # which needs it
    return roles


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--roles", type=roles_of, default=[WORKER], help="all, or some by name")
    parser.add_argument(
        "--pause", type=float, default=0.3, help="mean seconds between two kills in a role"
    )
    parser.add_argument("--phones", type=int, default=300)
    parser.add_argument("--calls-per-second", type=float, default=20.0)
    parser.add_argument(
        "--background",
        type=float,
        default=3_000.0,
        help="operations per second by generator.c; 0: none",
    )
    parser.add_argument("--seed", type=int, default=int(time.time()))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kill-storm-") as folder:
        report, good = run(args, Path(folder))
    print(json.dumps(report))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
