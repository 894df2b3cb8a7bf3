"""`sipherd keygen`: a pair of keys, the secret one for its owner's eyes only."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import zmq

from workers.cluster_settings import is_key, read_secret_key

ROOT = Path(__file__).resolve().parents[3]


def keygen(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "workers", "keygen", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_a_pair(tmp_path: Path) -> None:
    file = tmp_path / "cluster.key"
    before = os.umask(0)
    try:
        found = keygen(str(file), "--node", "7")
    finally:
        os.umask(before)
    assert found.returncode == 0, found.stderr
    assert file.stat().st_mode & 0o777 == 0o600
    secret = read_secret_key(file)
    public = zmq.curve_public(secret.encode()).decode()
    assert is_key(public)
    assert f'peer_keys = {{ 7 = "{public}" }}' in found.stdout
    assert secret not in found.stdout

    again = keygen(str(file))
    assert again.returncode == 0
    assert public in again.stdout
    assert read_secret_key(file) == secret, "nothing is overwritten"


def test_what_cannot_be(tmp_path: Path) -> None:
    found = keygen(str(tmp_path / "none" / "cluster.key"))
    assert found.returncode == 1
    assert "cannot be made: No such file or directory" in found.stderr
    (tmp_path / "other").write_text("something else")
    assert "holds no secret key" in keygen(str(tmp_path / "other")).stderr
