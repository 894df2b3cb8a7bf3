"""Three hundred clusters under faults, and proof that the simulator would see what is wrong."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.simulation import faults
from tests.simulation.mutations import MUTATIONS, switched_off
from tests.simulation.simulation import Outcome, run, shrink

ROOT = Path(__file__).resolve().parents[2]
BLOCK = 30
SEEDS = 300
# Where a search for each safeguard's failure may begin and end.
ENOUGH_SEEDS = 120
TRACE = "from tests.simulation.simulation import run; print(run(7).trace_sum)"


@pytest.fixture(scope="module")
def outcomes() -> list[Outcome]:
    """What came of the blocks so far: the last test asks whether they were hard enough."""
    return []


@pytest.mark.parametrize("first", range(0, SEEDS, BLOCK))
def test_clusters_survive(first: int, outcomes: list[Outcome]) -> None:
    for seed in range(first, first + BLOCK):
        outcome = run(seed)
        outcomes.append(outcome)
        assert not outcome.failure, (
            f"seed {seed}: {outcome.failure}; python -m tests.simulation --seeds {seed}"
        )


def test_they_met_every_fault(outcomes: list[Outcome]) -> None:
    if len(outcomes) < SEEDS:
        pytest.skip("only some of the blocks were run")
    injected: Counter[str] = Counter()
    met: Counter[str] = Counter()
    for outcome in outcomes:
        injected.update(outcome.injected)
        met.update(outcome.met)
    for kind in (*faults.KINDS, "frames lost", "frames repeated", "frames reordered"):
        assert injected[kind] > 20, kind
    for name in (
        "applied",
        "bad_frames",
        "clock_leads",
        "gaps",
        "overruns",
        "relayed",
        "repaired",
        "resends",
        "skips",
        "snapshots",
        "snapshots_failed",
        "stale_frames",
    ):
        assert met[name] > 0, name


def test_a_seed_has_one_trace() -> None:
    command = [sys.executable, "-c", TRACE]
    traces = {
        subprocess.run(
            command,
            cwd=ROOT,
            env={"PYTHONHASHSEED": hash_seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert len(traces) == 1
    assert run(7).trace_sum != run(8).trace_sum


@pytest.mark.parametrize("safeguard", sorted(MUTATIONS))
def test_without_a_safeguard_it_fails(safeguard: str) -> None:
    with switched_off(safeguard):
        failing = next((seed for seed in range(ENOUGH_SEEDS) if run(seed).failure), None)
    assert failing is not None, f"{ENOUGH_SEEDS} seeds pass without {safeguard}"
    assert not run(failing).failure, "the safeguard is back"


def test_a_failure_is_made_small() -> None:
    with switched_off("sequence"):
        large = next(outcome for outcome in map(run, range(ENOUGH_SEEDS)) if outcome.failure)
        small = shrink(large)
    assert small.failure
    assert len(small.faults) <= len(large.faults)
