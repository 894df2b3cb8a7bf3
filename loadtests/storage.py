"""Write-through on a MariaDB of its own: REGISTERs per second against single-row commits.

    python -m loadtests.storage [--seconds 8] [--phones 10000] [--window 800] [--bar 8]

Both are measured on the same server in the same run, fsync on. Every 200 is sent after the commit.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import make_url

from loadtests.generating import build
from loadtests.mariadb import MariaDb, free_port
from loadtests.registering import Node
from workers.storage.database import make_engine
from workers.storage.setup import create


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


def main() -> int:
    """Measure; 1 when the bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--phones", type=int, default=10_000)
    parser.add_argument("--window", type=int, default=800)
    parser.add_argument("--bar", type=float, default=8.0)
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="sipherd-storage-"))
    server = MariaDb(folder)
    node = None
    try:
        server.start()
        url = server.url("load")
        create(url)
        single = single_commits(url, 3.0)
        node = Node(folder, f'urls = ["{url}"]\nmode = "single-instance-sql-write-through"')
        node.file.write_text(
            node.file.read_text()
            .replace("capacity = 2000", f"capacity = {2 * arguments.phones}")
            .replace("receive_buffer = 1048576", "receive_buffer = 4194304")
            .replace("inbox_bytes = 262144", "inbox_bytes = 4194304")
        )
        node.start()
        said = registers(node, arguments.phones, arguments.window, arguments.seconds)
        rate = float(said["per_second"])
        again = single_commits(url, 3.0)
        rows = node.count("storage:rows_written") / max(1, node.count("storage:transactions"))
    finally:
        if node is not None:
            node.cleanup()
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
    most = max(single, again)
    print(f"single-row commits/s   {single:8.0f} before, {again:.0f} after")
    print(f"REGISTERs/s            {rate:8.0f}")
    print(f"processor time, sipherd {float(said['server_cpu_us']):7.1f} us per REGISTER")
    print(f"rows per transaction   {rows:8.1f}")
    print(f"ratio                  {rate / most:8.2f}   (bar {arguments.bar})")
    return 0 if rate >= arguments.bar * most else 1


if __name__ == "__main__":
    sys.exit(main())
