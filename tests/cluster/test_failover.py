"""Calls whose node dies, or loses the address: two real nodes in network namespaces."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest


@pytest.mark.parametrize("how", ["move", "return"])
def test_every_call_comes_to_its_end(how: str, perform: Callable[..., Any]) -> None:
    words = ["--calls", "15", "--lifetime", "8", "--how", how, "--seed", "1"]
    done = perform("loadtests.failover", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert report["records"] == report["answered"] + report["cancelled"] == 15
