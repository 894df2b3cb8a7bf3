"""Short variants of the load runs; loadtests/README.md has the long ones."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from loadtests.servers import ROOT, json_line

pytestmark = pytest.mark.ours
PATIENCE_S = 600  # a bound, not a bar


def run(script: str, *options: object) -> dict[str, Any]:
    """One load script; its report, when it is content."""
    done = subprocess.run(
        [sys.executable, "-m", f"loadtests.{script}", *map(str, options)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert "{" in done.stdout, f"{script}: {done.stdout}\n{done.stderr[-4000:]}"
    report: dict[str, Any] = json_line(done.stdout)
    assert done.returncode == 0, json.dumps(report, indent=1) + done.stderr[-2000:]
    return report


def test_ten_killed_workers_lose_nothing() -> None:
    report = run("kill_storm", "--kills", 10, "--phones", 100, "--seed", 1)
    assert report["registrations"] > 100
    assert report["calls_answered"] > 10


def test_twenty_thousand_mutants() -> None:
    report = run("mutate", "--count", 20_000, "--rest", 0, "--seed", 1)
    assert report["sent"] >= 20_000
    assert report["log_bytes"] < 1_000_000, "one line per event, limited per cause"


def test_calls_of_the_system_that_fail_end_nothing() -> None:
    report = run("failing_calls", "--sample", 15, "--seed", 2)
    assert report["failed_calls"] >= 5


def test_warm_restart_of_five_thousand_phones() -> None:
    run("warm_restart", "--phones", 5_000, "--limit", 30)


CALLS = "caller,callee,forever,busy,decline,gone,cancel"


def test_every_call_is_recorded_once_and_nothing_is_left() -> None:
    options = ("--calls", 100, "--rate", 50, "--lifetime", 5, "--spread", 1, "--seed", 1)
    report = run("calls", *options, "--endings", CALLS, "--kills", 6)
    assert report["kills"] == 6
    assert report["records"] == 100


def test_three_hundred_processes_of_every_kind_die_and_nothing_is_lost() -> None:
    load = ("--phones", 100, "--background", 300, "--calls-per-second", 10, "--seed", 1)
    report = run("kill_storm", "--roles", "all", "--kills", 300, "--pause", 0.2, *load)
    assert len(report["kills_by_role"]) >= 5
    assert report["calls_ended"] > 50
    assert report["on_other_node"]["confirmed"] == report["in_database"]["confirmed"] > 20


def test_a_killed_supervisor_is_started_again() -> None:
    options = ("--phones", 2_000, "--how", "supervisor", "--times", 1, "--limit", 30)
    report = run("warm_restart", *options)
    assert report["meanwhile"]["done"] > 20


def test_twenty_reloads_under_load() -> None:
    load = ("--rate", 300, "--phones", 60, "--calls-per-second", 10, "--repetitions", 10_000)
    report = run("reloads", "--times", 20, "--pause", 0, *load, "--seed", 1)
    assert report["edition"] == 15, "six of twenty are broken"


def test_three_upgrades_under_load() -> None:
    load = ("--rate", 300, "--phones", 60, "--calls-per-second", 10, "--pause", 1)
    report = run("upgrades", "--times", 3, *load, "--gap", 5, "--seed", 1)
    assert report["probes"] > 500
    assert report["registrations"] > 100


def test_an_avalanche_of_two_thousand() -> None:
    report = run("avalanche", "--phones", 2_000, "--seconds", 2)
    assert report["challenged"] >= 2_000


def test_a_short_soak() -> None:
    report = run("soak", "--minutes", 0.06, "--every", 0.8, "--slice", 1.5, "--rate", 200)
    assert report["spoilt"] >= 50
    assert report["samples"] > 3


def test_twice_too_much_costs_no_call_that_has_begun() -> None:
    load = ("--seconds", 6, "--rate", 6_000, "--policy-us", 300)  # one core does 3,000
    report = run("overload", *load, "--untimed")
    assert report["byes"] > 100
    assert report["refreshes"] > 100
    assert report["shed"]["invites"] > 0
    assert report["shed"]["answered"] > 0
