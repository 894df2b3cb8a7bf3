"""The telephones of `loadtests/locustfile.py` against a real server: nothing fails."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from loadtests.servers import ROOT, Server

# Not even imported here: locust replaces the sockets of the process that it is in.
pytestmark = pytest.mark.skipif(
    find_spec("locust") is None, reason="needs locust: pip install 'sipherd[load]'"
)


def test_every_scenario_ends_without_a_failure(server: Server, tmp_path: Path) -> None:
    run = subprocess.run(
        [
            *(sys.executable, "-m", "locust", "-f", str(ROOT / "loadtests" / "locustfile.py")),
            *("--host", f"sip://127.0.0.1:{server.port}", "--sip-domain", server.domain),
            *("--headless", "-u", "24", "-r", "24", "-t", "10s", "--csv", str(tmp_path / "run")),
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    with (tmp_path / "run_stats.csv").open() as file:
        rows = {(row["Type"], row["Name"]): row for row in csv.DictReader(file)}
    done = {key: int(row["Request Count"]) for key, row in rows.items()}
    assert not [key for key, row in rows.items() if row["Failure Count"] != "0"]
    assert done["REGISTER", "first"] >= 24
    assert done["REGISTER", "refresh"] > 0
    assert done["INVITE", "until it rings"] > 0
    assert done["REGISTER", "unregister"] > 0
