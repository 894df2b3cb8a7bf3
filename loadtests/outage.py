"""A database that dies, hangs, refuses, is full, and fails over, under REGISTERs and calls.

    python -m loadtests.outage [--dead 120] [--hung 30] [--other 15] [--users 500] [--json FILE]

In write-back with digest authentication and calls written in real time: during each trouble known
users register and call on as before it (p99 within the bar), an unknown user gets 503 and no
verdict, and nobody is refused. After each the backlog drains, and at the end the tables of the
database say what the server says. The disk that fills is a small one in memory, which only root can
mount. With --dead and --hung of 2 it is over in half a minute.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from loadtests.generating import generate
from loadtests.guessing import Guesser
from loadtests.mariadb import USER, MariaDb
from loadtests.servers import DOMAIN, Sipherd, wait_until
from loadtests.small_disk import fill_up, make_room, may_mount
from loadtests.subscribers import PASSWORD, Subscribers, subscribers

REGISTERS_PER_S, CALLS_PER_S = 200, 30
LEAST_S = 1.0
WORSE_BAR = 3.0  # p99 during a trouble, against before it
NOISE_MS = 20.0  # of a machine that does other things too
DRAIN_S = 60.0
POLICY = """
from proxy.routing.request import Request


async def on_request(request: Request) -> None:
    if request.in_dialog:
        request.relay()
    elif request.method == "REGISTER":
        if await request.authorize() is not None:
            request.save()
    elif request.method == "OPTIONS":
        request.reply(200)
    else:
        request.record_route()
        request.relay(request.lookup())
"""
SETTINGS = """[routing]
script = "policy.py"
[dialog]
enabled = true
db_mode = "realtime"
delete_delay = 0
[storage]
urls = {urls}
mode = "single-instance-sql-write-back"
interval_seconds = 0.5
wait_seconds = 1.0
[auth]
enabled = true
algorithms = ["SHA-256"]
"""
DISK_MIB = 220
# For the pages that the tables have already: rows that nobody takes for a phone or a call.
JUNK = (
    "INSERT INTO location (contact, expires) VALUES ('x', 1);",
    "INSERT INTO dialog (dlg_id, callid, from_uri, from_tag, to_uri, to_tag, caller_cseq, "
    "callee_cseq, caller_ping_cseq, callee_ping_cseq, caller_sock, callee_sock, state, start_time, "
    "timeout) VALUES (UUID_SHORT(), '', '', '', '', '', '', '', 0, 0, '', '', 9, 0, 0);",
)


class Run:
    """One server with its databases, and what was seen of it."""

    def __init__(
        self, folder: Path, database: MariaDb, urls: list[str], users: int, name: str = "sipherd"
    ) -> None:
        self.database, self.users, self.name = database, users, name
        self.server = Sipherd(folder, settings=SETTINGS.format(urls=json.dumps(urls)))
        (folder / "policy.py").write_text(POLICY)
        self.found: dict[str, Any] = {}
        self.failures: list[str] = []
        self.strangers = 0

    def load(self, name: str, seconds: float) -> dict[str, Any]:
        """Known users register, then call, for so long; the latencies."""
        each = max(LEAST_S, seconds / 2)
        said: dict[str, Any] = {"seconds": seconds}
        for mode, rate, more in (
            ("refresh", REGISTERS_PER_S, ("-a", PASSWORD)),
            ("call", CALLS_PER_S, ("-a", PASSWORD)),
        ):
            options = ("-u", self.users, "-d", each, "-r", rate, *more)
            report = generate(self.server, mode, *options, strict=False, timeout=each + 120)
            if report["gave_up"] or report["refused"] or report["statuses"]:
                self.failures.append(f"{name}: {mode}: {report}")
            said[mode] = {key: report[key] for key in ("done", "p50_ms", "p99_ms", "max_ms")}
        self.found[name] = said
        return said

    def trouble(
        self,
        name: str,
        seconds: float,
        begin: Callable[[], object],
        end: Callable[[], object],
        stranger: bool = True,
    ) -> None:
        """Load before, load during, then the end of it and the backlog."""
        before = self.load(f"before {name}", min(seconds, 10.0))
        begin()
        ends = time.monotonic() + seconds
        during = self.load(name, seconds)
        if stranger:
            self.stranger(name)
        time.sleep(max(0.0, ends - time.monotonic()))
        during["pending"] = self.server.ctl("db_status")["pending"]
        end()
        started = time.monotonic()
        if not self.drains():
            self.failures.append(f"{name}: not drained: {self.server.ctl('db_status')}")
        during["drained_after_s"] = round(time.monotonic() - started, 1)
        for mode in ("refresh", "call"):
            had, has = before[mode]["p99_ms"], during[mode]["p99_ms"]
            if has > max(WORSE_BAR * had, had + NOISE_MS):
                self.failures.append(f"{name}: {mode}: p99 {had} ms before, {has} ms during")

    def state(self) -> dict[str, Any]:
        """The first database, as db_status shows it."""
        row: dict[str, Any] = self.server.ctl("db_status")["databases"][0]
        return row

    def drains(self) -> bool:
        """Whether the backlog is written in time."""
        return wait_until(self.has_drained, DRAIN_S, 0.2)

    def has_drained(self) -> bool:
        """Whether the first database is in use and has everything."""
        row = self.state()
        return bool(row["in_use"] and row["current"])

    def stranger(self, name: str) -> None:
        """Somebody whom nobody has asked for yet: 503 while that cannot be found out."""
        self.strangers += 1
        guesser = Guesser((self.server.host, self.server.port), f"stranger{self.strangers}")
        status = guesser.guess(PASSWORD, 0)
        guesser.sock.close()
        if status != 503 and self.state()["state"] == "down":
            self.failures.append(f"{name}: an unknown user got {status}")

    def compare(self) -> None:
        """What the server says and what its database says must be the same at the end."""
        self.server.ctl("ul_flush")
        rows = self.database.sql(
            "SELECT CONCAT(username, '@', domain), contact, cseq FROM location", self.name
        )
        stored = {tuple(line.split("\t")) for line in rows.splitlines()}
        shown = {
            (aor, each["Contact"], str(each["Cseq"]))
            for aor, contacts in self.server.bindings().items()
            for each in contacts
        }
        self.found["registered"] = len(shown)
        if stored != shown:
            self.failures.append(f"rows differ: {sorted(stored ^ shown)[:4]}")
        wait_until(lambda: not self.server.ctl("dlg_list")["Dialogs"], 10)
        count = "SELECT COUNT(*) FROM dialog"
        if not wait_until(lambda: self.database.sql(count, self.name) == "0\n", 5):
            self.failures.append(f"calls left: {self.database.sql(count, self.name)}")


@contextmanager
def server_on(run: Run) -> Iterator[None]:
    """The server of a run, from its start to its stop; nothing may have ended unasked."""
    with run.server:
        wait_until(run.has_drained)
        pids = run.server.workers_alive()
        yield
        run.compare()
        if run.server.workers_alive() != pids:
            run.failures.append("a worker did not live through it")


def fill(database: MariaDb) -> None:
    """Take the last block of its disk, then what room its tables have left."""
    fill_up(database.folder)
    for row in JUNK:
        with suppress(subprocess.CalledProcessError):  # the client says that it is full
            while True:
                database.sql(row * 50, "sipherd")


def empty(database: MariaDb) -> None:
    """Make room again."""
    make_room(database.folder)
    database.sql("DELETE FROM dialog WHERE state = 9", "sipherd")
    database.sql("DELETE FROM location WHERE contact = 'x'", "sipherd")


def troubles(run: Run, args: argparse.Namespace) -> None:
    """One after the other."""
    database = run.database

    def refuse() -> None:
        change = f"ALTER USER '{USER}'@'127.0.0.1' IDENTIFIED BY 'another'; KILL USER {USER}"
        database.sql(change)

    run.trouble("dead", args.dead, lambda: database.signal(signal.SIGKILL), database.start)
    stop, go_on = signal.SIGSTOP, signal.SIGCONT
    run.trouble("hung", args.hung, lambda: database.signal(stop), lambda: database.signal(go_on))
    run.trouble("refused", args.other, refuse, database.start_users)
    if may_mount():
        run.trouble("full", args.other, lambda: fill(database), lambda: empty(database))


def measure(args: argparse.Namespace) -> tuple[dict[str, Any], list[str]]:
    """Everything; what was seen, and what went wrong."""
    from workers.storage.setup import create

    with (
        subscribers(args.users, disk_mib=DISK_MIB) as users,
        tempfile.TemporaryDirectory() as folder,
    ):
        run = Run(Path(folder), users.database, [users.url], args.users)
        with server_on(run):
            troubles(run, args)
        spare = f"sqlite:///{folder}/spare.db"
        create(spare)
        second = Run(Path(folder), users.database, [users.url, spare], args.users)
        with server_on(second):
            failover(second, users, args.other)
        return run.found | second.found, run.failures + second.failures


def failover(run: Run, users: Subscribers, seconds: float) -> None:
    """The first database dies, the second takes over, the first comes back."""
    database = users.database

    def end() -> None:
        if not wait_until(lambda: run.server.ctl("db_status")["databases"][1]["in_use"], 5):
            run.failures.append("failover: the second database was not taken")
        database.start()

    begin = partial(database.signal, signal.SIGKILL)
    run.trouble("failover", seconds, begin, end, stranger=False)


def main() -> int:
    """Run, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dead", type=float, default=120.0)
    parser.add_argument("--hung", type=float, default=30.0)
    parser.add_argument("--other", type=float, default=15.0)
    parser.add_argument("--users", type=int, default=500)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    found, failures = measure(args)
    text = json.dumps({"domain": DOMAIN, **found, "failures": failures}, indent=2)
    print(text)
    if args.json is not None:
        args.json.write_text(text)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
