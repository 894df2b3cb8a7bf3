"""kill -9 of the whole server with 100 000 registered telephones, then start it again.

    python -m loadtests.warm_restart [--phones 100000] [--limit 2.0]
    python -m loadtests.warm_restart --how supervisor --times 20 --limit 1.0

Registers them all, kills every process, starts the server and takes the time until OPTIONS is
answered by it. Or it kills the supervisor alone, which takes the others with it, and starts it
again after the pause that systemd makes (RestartSec of conf/sipherd.service); then the time is
that from the kill to the answer, while generator.c goes on with refreshes. Then every binding must
be there as it was (`ul_dump`, contact by contact), the table must be clean, and calls must find
their callees.
Exit status 1: one of these is not so, or it took longer than the limit.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

from loadtests.generating import generate, local_ports
from loadtests.servers import Sipherd

RESTART_SEC = 0.1
FILLING_S = 1.5  # for the generator to register its telephones


def contacts(server: Sipherd) -> dict[str, str]:
    """Contact by user, as `ul_dump` shows them."""
    return {
        aor.partition("@")[0]: rows[0]["Contact"] if rows else ""
        for aor, rows in server.bindings().items()
    }


def restart(server: Sipherd, how: str) -> float:
    """Kill it and start it again; the seconds that count."""
    if how == "everything":
        server.kill_everything()
        return server.start()
    killed = time.monotonic()
    os.kill(server.pid, signal.SIGKILL)
    assert server.process is not None
    server.process.wait()
    time.sleep(RESTART_SEC)
    server.start()
    return time.monotonic() - killed


def keep_refreshing(server: Sipherd, args: argparse.Namespace) -> Future[dict[str, Any]] | None:
    """Telephones that go on meanwhile, and give up after 8 seconds."""
    if args.how == "everything":
        return None
    seconds = 2.0 * args.times + 1.0
    # So many that nobody refreshes again before having given up, 8 s later (RFC 3261 §10.2).
    users = min(5_000, args.phones)
    load = ("-u", users, "-r", users / 10, "-d", seconds)
    return ThreadPoolExecutor(1).submit(
        generate, server, "refresh", *load, timeout=seconds + 60, strict=False
    )


def run(args: argparse.Namespace, folder: Path) -> tuple[dict[str, Any], bool]:
    """The report, and whether all of it is as it must be."""
    server = Sipherd(folder, capacity=int(args.phones * 1.2))
    try:
        cold = server.start()
        filled = generate(server, "fill", "-u", args.phones, "-w", 256)
        own = f"127.0.0.1:{local_ports(server)}"
        load = keep_refreshing(server, args)
        time.sleep(FILLING_S if load else 0.0)
        times = [restart(server, args.how) for _ in range(args.times)]
        warm = max(times)
        meanwhile = load.result() if load else {"gave_up": 0, "refused": 0}
        began = time.monotonic()
        found = contacts(server)
        dump_seconds = time.monotonic() - began
        wanted = {f"u{i}": f"sip:u{i}@{own};transport=udp" for i in range(args.phones)}
        missing = [user for user, contact in wanted.items() if found.get(user) != contact]
        count = server.statistics("usrloc:")["usrloc:registered_users"]
        refreshed = generate(server, "refresh", "-u", 1_000, "-w", 16, "-d", 0.5)
        check = server.table_check()
        status = server.stop()
    finally:
        server.kill_everything()
    report = {
        "phones": args.phones,
        "registered_per_second": filled["per_second"],
        "cold_start_s": round(cold, 3),
        "how": args.how,
        "times": args.times,
        "warm_start_s": round(warm, 3),
        "warm_start_p50_s": round(median(times), 3),
        "meanwhile": meanwhile,
        "limit_s": args.limit,
        "found": len(found),
        "registered_users": count,
        "missing": len(missing),
        "missing_examples": missing[:5],
        "ul_dump_s": round(dump_seconds, 2),
        "refreshed_after": refreshed["done"],
        "table_clean": check.returncode == 0,
        "table_check": (check.stdout + check.stderr).strip()[-500:],
        "exit_status": status,
        "tracebacks": server.log.count("Traceback"),
    }
    good = (
        not missing
        and count >= args.phones
        and warm < args.limit
        and check.returncode == 0
        and status == 0
        and not (meanwhile["gave_up"] or meanwhile["refused"])
        and not report["tracebacks"]
    )
    return report, good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--phones", type=int, default=100_000)
    parser.add_argument("--how", choices=("everything", "supervisor"), default="everything")
    parser.add_argument("--times", type=int, default=1, help="how often; the slowest counts")
    parser.add_argument("--limit", type=float, default=2.0, help="seconds until it must answer")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="warm-restart-") as folder:
        report, good = run(args, Path(folder))
    print(json.dumps(report))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
