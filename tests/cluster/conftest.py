"""Runs of nodes in network namespaces, for those who may make such."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from loadtests.namespaces import NOT_PERMITTED

ROOT = Path(__file__).parent.parent.parent
Done = subprocess.CompletedProcess[str]
Perform = Callable[..., Done]


@pytest.fixture
def perform() -> Perform:
    """Run a script of loadtests to its end; skip where this process has not the rights for it."""

    def run(module: str, *words: str) -> Done:
        done = subprocess.run(
            [sys.executable, "-m", module, *words],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=600,  # a bound, not a bar
            check=False,
        )
        if done.returncode == NOT_PERMITTED:
            pytest.skip(done.stderr.strip())
        return done

    return run
