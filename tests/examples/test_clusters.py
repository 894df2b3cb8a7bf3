"""The examples of clusters: `sipherd check` likes each of them, and nodes fit together."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from workers.cluster_settings import contents_of
from workers.clusterer import keys
from workers.config import load

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "conf" / "examples" / "cluster"
FILES = sorted(EXAMPLES.glob("*.toml"))
NAMES = ["database-1.toml", "database-2.toml", "pair-1.toml", "pair-2.toml", "site-a1.toml"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The examples, with the key that an operator makes first."""
    copy = tmp_path / "a" / "b" / "cluster"
    shutil.copytree(EXAMPLES, copy)
    keys.generate(copy / "cluster.key")
    return copy


def test_there_is_one_for_each_layout() -> None:
    assert [file.name for file in FILES] == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_they_have_no_mistakes(folder: Path, name: str) -> None:
    command = [sys.executable, "-m", "workers", "check", "-c", str(folder / name)]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stderr) == (0, "")


@pytest.mark.parametrize("kind", ["pair", "database"])
def test_two_nodes_fit_together(folder: Path, kind: str) -> None:
    one, two = (load(folder / f"{kind}-{number}.toml") for number in (1, 2))
    assert (one.node.id, two.node.id) == (1, 2)
    assert one.node.secret == two.node.secret
    assert one.cluster.peers == {2: two.cluster.bind}
    assert two.cluster.peers == {1: one.cluster.bind}
    assert contents_of(one, one.cluster) == contents_of(two, two.cluster)
    assert {*one.cluster.tags} == {*two.cluster.tags}
    everything = {"location", "dialogs", "profiles", "limits", "destinations"}
    assert contents_of(one, one.cluster) == everything


def test_two_sites_share_no_phones(folder: Path) -> None:
    config = load(folder / "site-a1.toml")
    (further,) = config.cluster.further
    assert contents_of(config, further) == {"profiles", "limits", "destinations"}
    assert sorted(further.peers) == [2, 3, 4]
    assert sorted(config.cluster.peers) == [2]


def test_a_missing_key_is_a_sentence(folder: Path) -> None:
    (folder / "cluster.key").unlink()
    command = [sys.executable, "-m", "workers", "check", "-c", str(folder / "database-1.toml")]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert found.returncode == 1
    assert "[cluster] key_file" in found.stderr
