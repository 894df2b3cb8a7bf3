"""Power is back: 100 000 telephones with digest come to life within 30 seconds.

    python -m loadtests.avalanche [--phones 100000] [--seconds 30] [--within 90] [--picture FILE]

avalanche.c plays them, by the book (its head says which); two workers have nothing in memory and
every user in a database. Afterwards each telephone is registered, nobody was replaced, the table is
clean. Exit status 1: one of these is not so.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from loadtests import processes
from loadtests.generating import build
from loadtests.picture import Course, Second, draw
from loadtests.ports import free_port
from loadtests.servers import Sipherd, json_line
from loadtests.subscribers import PASSWORD, sqlite_subscribers

EVENTS = ("challenged", "resent", "told_to_wait", "timed_out")
SETTINGS = """
[storage]
urls = ["{url}"]
mode = "{mode}"
[auth]
enabled = true
algorithms = ["SHA-256"]
cache = {room}
nonces = {room}
"""


def prepare(args: argparse.Namespace, folder: Path) -> Sipherd:
    """A server whose database knows everybody."""
    url = sqlite_subscribers(folder / "users.db", args.phones)
    room = int(args.phones * 1.25) + 1_000
    settings = SETTINGS.format(url=url, mode=args.mode, room=room)
    return Sipherd(folder, capacity=room, settings=settings, workers=args.workers, sheds=True)


def let_loose(server: Sipherd, args: argparse.Namespace, course: Path) -> dict[str, Any]:
    """Run avalanche.c, and say every few seconds how far it has come."""
    words = {
        "-t": f"{server.host}:{server.port}",
        "-u": args.phones,
        "-s": args.seconds,
        "-d": args.within,
        "-a": PASSWORD,
        "-n": args.lines,
        "-f": free_port(),
        "-D": server.domain,
        "-l": course,
    }
    command = [str(build("avalanche")), *(str(word) for pair in words.items() for word in pair)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        while running.poll() is None:
            time.sleep(1.0 if args.within > 10 else 0.1)
            if seconds := seconds_of(course):
                done = sum(each["registered"] for each in seconds)
                last = seconds[-1]
                line = f"{last['at'] + 1:4} s: {done} registered, p99 {last['p99_ms']:.1f} ms"
                print(line, file=sys.stderr, flush=True)
        assert running.stdout is not None
        found: dict[str, Any] = json_line(running.stdout.read())
    return found


def seconds_of(course: Path) -> list[dict[str, Any]]:
    """What the generator has written so far; a line may be unfinished."""
    lines = course.read_text().splitlines() if course.exists() else []
    return [json.loads(line) for line in lines if line.endswith("}")]


def drawn(seconds: list[dict[str, Any]]) -> Course:
    """The course as pictures want it: operations are telephones that got their 200."""
    return Course(
        [
            Second(
                each["at"],
                each["registered"],
                each["refused"],
                (each["p50_ms"], each["p95_ms"], each["p99_ms"]),
                {name.replace("_", " "): each[name] for name in EVENTS},
            )
            for each in seconds
        ]
    )


def run(args: argparse.Namespace, folder: Path) -> tuple[dict[str, Any], bool]:
    """The report, and whether all of it is as it must be."""
    server = prepare(args, folder)
    course = folder / "course.json"
    with server:
        before = server.cpu_by_role()
        found = let_loose(server, args, course)
        spent = {role: cpu - before[role] for role, cpu in server.cpu_by_role().items()}
        names = ("usrloc:registered_users", "sipherd:restarts", "sipherd:receive_drops")
        counted = server.statistics(*names)
        alive = processes.alive(server.pid) and len(server.workers_alive()) == server.workers
        check = server.table_check()
    report = {
        **found,
        "within_s": args.within,
        "spread_s": args.seconds,
        "server_cpu_s": {role: round(cpu, 2) for role, cpu in spent.items()},
        **counted,
        "alive": alive,
        "table_clean": check.returncode == 0,
        "table_check": (check.stdout + check.stderr).strip()[-500:],
        "tracebacks": server.log.count("Traceback"),
    }
    good = (
        found["registered"] == args.phones == counted["usrloc:registered_users"]
        and not counted["sipherd:restarts"]
        and alive
        and check.returncode == 0
        and not report["tracebacks"]
    )
    if args.picture:
        title = f"{args.phones} telephones with digest within {args.seconds:.0f} s"
        draw(drawn(seconds_of(course)), args.picture, title)
    return report, good


def print_table(report: dict[str, Any]) -> None:
    """What a reader wants to see."""
    rows = {
        "telephones registered": f"{report['registered']} of {report['phones']}",
        "all were after, s": f"{report['seconds']:.1f}",
        "from power-on to registered, ms: p50, p95, p99, worst": ", ".join(
            f"{report[name]:.1f}" for name in ("p50_ms", "p95_ms", "p99_ms", "max_ms")
        ),
        "challenged; repeated by timer E": f"{report['challenged']}; {report['resent']}",
        "503; gave up after 32 s": f"{report['told_to_wait']}; {report['timed_out']}",
        "processor time, s": ", ".join(
            f"{role} {cpu:.1f}" for role, cpu in report["server_cpu_s"].items() if cpu >= 0.05
        ),
        "lost by the kernel; processes replaced": (
            f"{report['sipherd:receive_drops']}; {report['sipherd:restarts']}"
        ),
    }
    for name, value in rows.items():
        print(f"{name:54} {value}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--phones", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=30.0, help="within which all come to life")
    parser.add_argument("--within", type=float, default=90.0, help="seconds for all to register")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--lines", type=int, default=64, help="sockets that the telephones share")
    parser.add_argument("--mode", default="single-instance-no-db", help="of [storage]")
    parser.add_argument("--picture", type=Path, help="draw rate, latency and events here (PNG)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="avalanche-") as folder:
        report, good = run(args, Path(folder))
    print_table(report)
    print(json.dumps(report))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
