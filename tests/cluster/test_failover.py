"""Calls whose node dies, or loses the address: two real nodes in network namespaces."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from loadtests.failover import NOT_PERMITTED

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize("how", ["move", "return"])
def test_every_call_comes_to_its_end(how: str) -> None:
    words = ["--calls", "15", "--lifetime", "8", "--how", how, "--seed", "1"]
    done = subprocess.run(
        [sys.executable, "-m", "loadtests.failover", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    if done.returncode == NOT_PERMITTED:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert report["records"] == report["answered"] + report["cancelled"] == 15
