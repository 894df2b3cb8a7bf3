"""What was acknowledged stays and what was removed stays away, whatever befalls the links."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from loadtests.servers import json_line

ROOT = Path(__file__).parent.parent.parent
NOT_PERMITTED = 2


def test_three_nodes_lose_nothing() -> None:
    """Loss, cut links, killed processes, frozen nodes."""
    words = ["everything", "--seconds", "5", "--seed", "1"]
    done = subprocess.run(
        [sys.executable, "-m", "loadtests.faults", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    if done.returncode == NOT_PERMITTED:
        pytest.skip(done.stderr.strip())
    found = json_line([line.partition(" ")[2] for line in done.stdout.splitlines()])
    assert found["acknowledged"] > 400
    assert (found["lost"], found["resurrected"], found["refused"]) == (0, 0, 0), found["tales"]
    assert found["equal_after_load_s"] is not None
    assert found["table_clean"]
    assert not found["internal_errors"]
