"""Bytes of memory per registered telephone.

    python -m loadtests.memory [--phones 100000] [--server sipherd|kamailio]

Proportional set size of the whole process tree, in which every shared page counts once, before and
after the telephones register, once without and once with a +sip.instance of 57 characters in the
Contact. The size of the table's file is given too: what the table may grow to when it is full.
Exit status 1: more than 600 bytes for the plain telephone.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from loadtests import processes
from loadtests.generating import generate
from loadtests.servers import Kamailio, Server, Sipherd

BAR = 600.0


def measure(args: argparse.Namespace, folder: Path, *extra: str) -> dict[str, Any]:
    """Registers the telephones on a fresh server, and reads its memory before and after."""
    folder.mkdir()
    server: Server
    if args.server == "kamailio":
        server = Kamailio(folder)
    else:
        server = Sipherd(folder, capacity=args.phones)
    with server:
        generate(server, "options", "-d", 1.0, "-w", 128)  # what serving costs anyway is no phone's
        before = processes.pss_bytes(server.pid)
        generate(server, "fill", "-u", args.phones, "-w", 256, *extra)
        time.sleep(6)  # Kamailio keeps a finished transaction for 5 s
        after = processes.pss_bytes(server.pid)
        files = sum(file.stat().st_size for file in folder.rglob("location*") if file.is_file())
    return {
        "before": before,
        "after": after,
        "bytes_per_phone": round((after - before) / args.phones, 1),
        "table_file_bytes_per_phone": round(files / args.phones, 1),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--phones", type=int, default=100_000)
    parser.add_argument("--server", choices=("sipherd", "kamailio"), default="sipherd")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="memory-") as folder:
        plain = measure(args, Path(folder) / "plain")
        instance = measure(args, Path(folder) / "instance", "-i")
    print(
        json.dumps(
            {
                "server": args.server,
                "phones": args.phones,
                "bar": BAR,
                "plain": plain,
                "with_instance": instance,
            }
        )
    )
    return 0 if plain["bytes_per_phone"] <= BAR or args.server != "sipherd" else 1


if __name__ == "__main__":
    sys.exit(main())
