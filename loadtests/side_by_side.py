"""What an operation costs sipherd and Kamailio, measured in turn on the same machine.

    python -m loadtests.side_by_side [--setup lean] [--rounds 5] [--seconds 3] [--json FILE]
    python -m loadtests.side_by_side --setup all --chart docs/side-by-side.png

Each round starts both servers afresh, one after the other, in alternating order, and measures
operations with the closed-loop generator. Medians over the rounds are compared. Then both get half
of Kamailio's rate, open loop, and the medians of each second's p99 are compared: where the machine
has other things to do for some 50 ms now and then, a longer run's p99 tells of nothing else. The
setup says what both do: `lean` nothing but register and relay, `dialogs` track every call as well,
`auth` ask who registers: digest with SHA-256, users in one MariaDB for both; `all` is one after the
other.
Exit status 1: a bar is not met.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from statistics import median
from textwrap import wrap
from typing import Any

from loadtests.generating import generate
from loadtests.servers import Kamailio, Server, Sipherd
from loadtests.subscribers import PASSWORD, Subscribers, subscribers

Modes = dict[str, tuple[str, float, tuple[object, ...]]]
Runs = dict[str, dict[str, list[dict[str, Any]]]]


@dataclass(frozen=True)
class Setup:
    """What both servers are told to do, and what is then measured."""

    #: mode: (what it is called, bar as a share of Kamailio's cost, generator options)
    modes: Modes
    settings: str = ""  # of sipherd, besides the usual ones
    defines: tuple[str, ...] = ()  # of kamailio.cfg
    users: int = 0  # who have to show who they are

    def server(self, name: str, directory: Path, users: Subscribers | None) -> Server:
        """A fresh server in a folder of its own."""
        directory.mkdir()
        if name == "sipherd":
            settings = self.settings + (users.settings() if users else "")
            return Sipherd(directory, capacity=20_000, settings=settings)
        kamailio = Kamailio(directory)
        kamailio.defines = self.defines
        kamailio.database = users.kamailio_url if users else ""
        return kamailio

    def database(self) -> AbstractContextManager[Subscribers | None]:
        """What the servers ask, for as long as they run."""
        return subscribers(self.users) if self.users else nullcontext()


SETUPS = {
    "lean": Setup(
        {
            "options": ("OPTIONS answered", 0.65, ("-w", 128)),
            "refresh": ("REGISTER refresh, 10 000 users", 0.55, ("-w", 128, "-u", 10_000)),
            "call": ("call, record-routed", 0.40, ("-w", 64, "-u", 1_000)),
        }
    ),
    "dialogs": Setup(
        {"call": ("call with its dialog", 0.40, ("-w", 64, "-u", 1_000))},
        "[dialog]\nenabled = true\ncapacity = 200_000\n",  # or some calls would go untracked
        ("DIALOGS",),
    ),
    "auth": Setup(
        {
            "refresh": (
                "REGISTER with digest, 10 000 users",
                0.60,
                ("-w", 128, "-u", 10_000, "-a", PASSWORD),
            )
        },
        defines=("AUTH",),
        users=10_000,
    ),
}


def measure(
    setup: Setup,
    users: Subscribers | None,
    names: list[str],
    rounds: int,
    folder: Path,
    options: dict[str, tuple[object, ...]],
    label: str,
    repeats: int = 1,
) -> Runs:
    """`rounds` times `repeats` runs of each mode on each server, alternating which one comes first.

    In the closed loop nothing of ours may fail; at a given rate a server that cannot keep up is a
    result.
    """
    runs: Runs = {name: {mode: [] for mode in options} for name in names}
    for number in range(rounds):
        for name in names if number % 2 == 0 else reversed(names):
            with setup.server(
                name, folder / f"{label}-{number}-{name}".replace(" ", "-"), users
            ) as server:
                for mode, extra in options.items():
                    warm = (*setup.modes[mode][2], "-d", 0.4)
                    generate(server, mode, *warm)  # buffers, caches, branch predictors
                    strict = "-r" not in extra and name == "sipherd"
                    runs[name][mode] += [
                        generate(server, mode, *extra, strict=strict) for _ in range(repeats)
                    ]
            figure = "server_cpu_us" if label.endswith("cost") else "p99_ms"
            last = {
                mode: median(run[figure] for run in runs[name][mode][-repeats:]) for mode in options
            }
            print(f"{label} round {number + 1} {name}: {last}", file=sys.stderr, flush=True)
    return runs


def cost_rows(runs: Runs, modes: Modes) -> list[dict[str, Any]]:
    """One row per mode: both medians, their ratio, the bar."""
    rows = []
    for mode, (title, bar, _) in modes.items():
        costs = {name: [run["server_cpu_us"] for run in runs[name][mode]] for name in runs}
        ours, theirs = median(costs["sipherd"]), median(costs["kamailio"])
        rows.append(
            {
                "what": title,
                "sipherd_us": ours,
                "kamailio_us": theirs,
                "ratio": ours / theirs,
                "bar": bar,
                "met": ours / theirs <= bar,
                "sipherd_range": spread(costs["sipherd"]),
                "kamailio_range": spread(costs["kamailio"]),
                "sipherd_per_second": median(r["per_second"] for r in runs["sipherd"][mode]),
                "kamailio_per_second": median(r["per_second"] for r in runs["kamailio"][mode]),
            }
        )
    return rows


def latency_rows(runs: Runs, modes: Modes, rates: dict[str, int]) -> list[dict[str, Any]]:
    """One row per mode: both p99 of a second, at the same rate."""
    rows = []
    for mode, rate in rates.items():
        ours = median(run["p99_ms"] for run in runs["sipherd"][mode])
        theirs = median(run["p99_ms"] for run in runs["kamailio"][mode])
        rows.append(
            {
                "what": modes[mode][0],
                "rate": rate,
                "sipherd_p99_ms": ours,
                "kamailio_p99_ms": theirs,
                "met": ours <= theirs,
                "sipherd_p50_ms": median(run["p50_ms"] for run in runs["sipherd"][mode]),
                "kamailio_p50_ms": median(run["p50_ms"] for run in runs["kamailio"][mode]),
                "sipherd_resent": sum(run["resent"] for run in runs["sipherd"][mode]),
                "kamailio_resent": sum(run["resent"] for run in runs["kamailio"][mode]),
            }
        )
    return rows


def spread(values: list[float]) -> list[float]:
    """Smallest and largest."""
    return [min(values), max(values)]


def print_tables(costs: list[dict[str, Any]], latencies: list[dict[str, Any]]) -> None:
    """What a reader wants to see."""
    heads = f"{'sipherd':>10} {'Kamailio':>10}"
    print(f"{'processor time per operation':32} {heads} {'ratio':>7} {'bar':>6}")
    for row in costs:
        print(
            f"{row['what']:32} {row['sipherd_us']:7.2f} µs {row['kamailio_us']:7.2f} µs "
            f"{row['ratio']:7.2f} {row['bar']:6.2f} {'met' if row['met'] else 'NOT MET'}"
        )
    print(f"\n{'p99 at half of Kamailio’s rate':32} {heads} {'per s':>7}")
    for row in latencies:
        print(
            f"{row['what']:32} {row['sipherd_p99_ms']:7.3f} ms {row['kamailio_p99_ms']:7.3f} ms "
            f"{row['rate']:7} {'met' if row['met'] else 'NOT MET'}"
        )


def draw_chart(costs: list[dict[str, Any]], latencies: list[dict[str, Any]], path: Path) -> None:
    """Both servers beside each other: processor time per operation, and p99; as PNG."""
    from matplotlib.figure import Figure  # of the extra `load`; wanted here only

    figure = Figure(figsize=(13, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    halves = (
        (left, costs, "us", "processor time, µs per operation"),
        (right, latencies, "p99_ms", "p99, ms, at half of Kamailio’s rate"),
    )
    for axes, rows, unit, label in halves:
        for shift, name in ((-0.2, "sipherd"), (0.2, "kamailio")):
            values = [row[f"{name}_{unit}"] for row in rows]
            at = [number + shift for number in range(len(rows))]
            title = {"kamailio": "Kamailio"}.get(name, name)
            axes.bar_label(axes.bar(at, values, width=0.4, label=title), fmt="%.3g", fontsize=8)
        axes.set_xticks(range(len(rows)), ["\n".join(wrap(row["what"], 18)) for row in rows])
        axes.set_ylabel(label)
        axes.tick_params(axis="x", labelsize=8)
        axes.legend()
        axes.margins(y=0.15)
        axes.grid(axis="y", alpha=0.3)
    right.set_yscale("log")
    figure.suptitle(f"{platform.system()}, {os.cpu_count()} processors, {date.today()}")
    figure.savefig(path, dpi=100)


@dataclass
class Comparison:
    """What was measured, setup after setup."""

    costs: list[dict[str, Any]] = field(default_factory=list)
    latencies: list[dict[str, Any]] = field(default_factory=list)
    runs: dict[str, dict[str, Runs]] = field(default_factory=dict)

    def add(self, name: str, names: list[str], rounds: int, seconds: float, folder: Path) -> None:
        """Measure one setup; of one server alone only the runs are kept."""
        setup = SETUPS[name]
        with setup.database() as users:
            closed = {mode: (*extra, "-d", seconds) for mode, (_, _, extra) in setup.modes.items()}
            runs = measure(setup, users, names, rounds, folder, closed, f"{name} cost")
            self.runs[name] = {"closed": runs}
            if len(names) < 2:
                return
            costs = cost_rows(runs, setup.modes)
            rates = {
                mode: max(1, int(row["kamailio_per_second"] / 2))
                for mode, row in zip(setup.modes, costs, strict=True)
            }
            opened = {
                mode: (*extra, "-d", 1, "-r", rates[mode])
                for mode, (_, _, extra) in setup.modes.items()
            }
            label, repeats = f"{name} latency", max(1, round(seconds))
            paced = measure(setup, users, names, rounds, folder, opened, label, repeats)
        self.runs[name]["open"] = paced
        self.costs += costs
        self.latencies += latency_rows(paced, setup.modes, rates)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--setup", choices=(*SETUPS, "all"), default="lean")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--json", type=Path, help="write everything measured to this file")
    parser.add_argument("--chart", type=Path, help="draw the comparison here (PNG)")
    parser.add_argument("--quick", action="store_true", help="one short round: does it run at all")
    parser.add_argument("--servers", default="sipherd,kamailio", help=argparse.SUPPRESS)
    args = parser.parse_args()
    rounds, seconds = (1, 1.0) if args.quick else (args.rounds, args.seconds)
    names = args.servers.split(",")
    found = Comparison()
    with tempfile.TemporaryDirectory(prefix="side-by-side-") as folder:
        for name in SETUPS if args.setup == "all" else (args.setup,):
            found.add(name, names, rounds, seconds, Path(folder))
    if len(names) < 2:
        print(json.dumps(found.runs))
        return 0
    print_tables(found.costs, found.latencies)
    if args.chart:
        draw_chart(found.costs, found.latencies, args.chart)
    if args.json:
        args.json.write_text(
            json.dumps(
                {
                    "machine": {"cpus": os.cpu_count(), "system": platform.platform()},
                    "rounds": rounds,
                    "seconds": seconds,
                    "cost": found.costs,
                    "latency": found.latencies,
                    "runs": found.runs,
                },
                indent=1,
            )
        )
    return 0 if all(row["met"] for row in found.costs + found.latencies) else 1


if __name__ == "__main__":
    sys.exit(main())
