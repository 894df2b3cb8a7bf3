"""Write-through on a MariaDB of its own: REGISTERs per second against single-row commits.

    python -m loadtests.storage [--seconds 8] [--phones 10000] [--window 800] [--bar 8]

Both are measured on the same server in the same run, fsync on. Every 200 is sent after the commit.

    python -m loadtests.storage --load [--phones 100000] [--bar 3]

What it takes to load rows at a start: seconds until they are in the table, and of processor time.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import make_url

from loadtests.generating import build
from loadtests.mariadb import MariaDb
from loadtests.ports import free_port
from loadtests.processes import cpu_seconds
from loadtests.registering import Node, wait_for
from workers.storage.database import make_engine
from workers.storage.setup import create

COMMITS_BAR, LOAD_BAR_S = 8.0, 3.0


def single_commits(url: str, seconds: float) -> float:
    """Rows per second when each is a transaction of its own, on one connection."""
    engine = make_engine(make_url(url))
    done, ends = 0, time.monotonic() + seconds
    statement = text("UPDATE location SET cseq = :cseq WHERE contact_id = 1")
    with engine.connect() as connection:
        connection.execute(
            text("INSERT INTO location (contact_id, contact, expires) VALUES (1, 'sip:x@y', 1)")
        )
        connection.commit()
        while time.monotonic() < ends:
            connection.execute(statement, {"cseq": done})
            connection.commit()
            done += 1
        connection.execute(text("DELETE FROM location WHERE contact_id = 1"))
        connection.commit()
    engine.dispose()
    return done / seconds


def registers(node: Node, phones: int, window: int, seconds: float) -> dict[str, Any]:
    """What the generator says about refreshing so many phones, so many at a time."""
    assert node.process is not None
    words = [build(), "refresh", "-t", f"127.0.0.1:{node.port}", "-D", "example.com"]
    words += ["-p", node.process.pid, "-u", phones, "-d", seconds, "-w", window, "-f", free_port()]
    done = subprocess.run([str(word) for word in words], capture_output=True, check=False)
    return dict(json.loads(done.stdout))


def measure_commits(folder: Path, server: MariaDb, args: argparse.Namespace) -> bool:
    """REGISTERs per second against single commits; whether the bar is met."""
    url = server.url("load")
    create(url)
    single = single_commits(url, 3.0)
    node = node_on(folder, url, args.phones)
    try:
        node.start()
        assert server.process is not None
        pids = {"storage process": node.storage_pid(), "MariaDB": server.process.pid}
        before = {name: cpu_seconds(pid) for name, pid in pids.items()}
        said = registers(node, args.phones, args.window, args.seconds)
        spent = {name: cpu_seconds(pid) - before[name] for name, pid in pids.items()}
        rate = float(said["per_second"])
        again = single_commits(url, 3.0)
        rows = node.count("storage:rows_written") / max(1, node.count("storage:transactions"))
    finally:
        node.cleanup()
    most, bar = max(single, again), args.bar or COMMITS_BAR
    print(f"single-row commits/s   {single:8.0f} before, {again:.0f} after")
    print(f"REGISTERs/s            {rate:8.0f}")
    print(f"processor time, sipherd {float(said['server_cpu_us']):7.1f} us per REGISTER")
    for name, seconds in spent.items():  # the first registrations of all phones are in it
        each = seconds * 1e6 / (said["done"] + args.phones)
        print(f"processor time, {name:15} {each:5.1f} us per REGISTER")
    print(f"rows per transaction   {rows:8.1f}")
    print(f"ratio                  {rate / most:8.2f}   (bar {bar})")
    return rate >= bar * most


def measure_load(folder: Path, server: MariaDb, args: argparse.Namespace) -> bool:
    """Seconds from the start of the storage process to all rows in the table; is it well?"""
    url = server.url("load")
    create(url)
    phones, far = args.phones, int(time.time()) + 86_400
    columns = "contact_id, username, domain, contact, expires, callid, last_modified, kv_store"
    rows = (
        f"({number}, 'u{number}', 'example.com', 'sip:u{number}@192.0.2.1:5060', {far}, "
        f"'call-{number}@192.0.2.1', NOW(), '{{\"_v\":\"{number:016x}\"}}')"
        for number in range(1, phones + 1)
    )
    while some := ",".join(islice(rows, 5_000)):
        server.sql(f"INSERT INTO location ({columns}) VALUES {some}", "load")
    node = node_on(folder, url, phones)
    try:
        node.start()
        began = time.monotonic()
        wait_for(lambda: node.ctl("db_status")["loaded"], 120)
        wall = time.monotonic() - began
        pid = node.storage_pid()
        cpu = cpu_seconds(pid)
        missing = [n for n in (1, phones // 2, phones) if not node.is_registered(f"u{n}")]
    finally:
        node.cleanup()
    bar = args.bar or LOAD_BAR_S
    print(f"rows                   {phones:8d}{'  MISSING ' + str(missing) if missing else ''}")
    print(f"seconds until loaded   {wall:8.2f}   (bar {bar})")
    print(f"processor seconds      {cpu:8.2f}")
    return wall <= bar and not missing


def node_on(folder: Path, url: str, phones: int) -> Node:
    """A node in write-through with room for so many phones."""
    node = Node(folder, f'urls = ["{url}"]\nmode = "single-instance-sql-write-through"')
    node.file.write_text(
        node.file.read_text()
        .replace("capacity = 2000", f"capacity = {2 * phones}")
        .replace("receive_buffer = 1048576", "receive_buffer = 4194304")
        .replace("inbox_bytes = 262144", "inbox_bytes = 4194304")
    )
    return node


def main() -> int:
    """Measure; 1 when the bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--load", action="store_true")
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--phones", type=int, default=0)
    parser.add_argument("--window", type=int, default=800)
    parser.add_argument("--bar", type=float, default=0.0)
    args = parser.parse_args()
    args.phones = args.phones or (100_000 if args.load else 10_000)
    folder = Path(tempfile.mkdtemp(prefix="sipherd-storage-"))
    try:
        server = MariaDb(folder)
        try:
            server.start()
            measure = measure_load if args.load else measure_commits
            return 0 if measure(folder, server, args) else 1
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
