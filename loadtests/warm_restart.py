"""kill -9 of the whole server with 100 000 registered telephones, then start it again.

    python -m loadtests.warm_restart [--phones 100000] [--limit 2.0]

Registers them all, kills every process, starts the server and takes the time until OPTIONS is
answered by it. Then every binding must be there as it was (`ul_dump`, contact by contact), the
table must be clean, and calls must find their callees.
Exit status 1: one of these is not so, or it took longer than the limit.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from loadtests.generating import generate, local_ports
from loadtests.servers import Sipherd


def contacts(server: Sipherd) -> dict[str, str]:
    """Contact by user, as `ul_dump` shows them."""
    return {
        aor.partition("@")[0]: rows[0]["Contact"] if rows else ""
        for aor, rows in server.bindings().items()
    }


def run(args: argparse.Namespace, folder: Path) -> tuple[dict[str, Any], bool]:
    """The report, and whether all of it is as it must be."""
    server = Sipherd(folder, capacity=int(args.phones * 1.2))
    try:
        cold = server.start()
        filled = generate(server, "fill", "-u", args.phones, "-w", 256)
        own = f"127.0.0.1:{local_ports(server)}"
        server.kill_everything()
        warm = server.start()
        began = time.monotonic()
        found = contacts(server)
        dump_seconds = time.monotonic() - began
        wanted = {f"u{i}": f"sip:u{i}@{own};transport=udp" for i in range(args.phones)}
        missing = [user for user, contact in wanted.items() if found.get(user) != contact]
        count = server.statistics("usrloc:")["usrloc:registered_users"]
        refreshed = generate(server, "refresh", "-u", 1_000, "-d", 0.5)
        check = server.table_check()
        status = server.stop()
    finally:
        server.kill_everything()
    report = {
        "phones": args.phones,
        "registered_per_second": filled["per_second"],
        "cold_start_s": round(cold, 3),
        "warm_start_s": round(warm, 3),
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
        and not report["tracebacks"]
    )
    return report, good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--phones", type=int, default=100_000)
    parser.add_argument("--limit", type=float, default=2.0, help="seconds until it must answer")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="warm-restart-") as folder:
        report, good = run(args, Path(folder))
    print(json.dumps(report))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
