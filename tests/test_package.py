"""An installed sipherd finds what is shipped with it, far from its sources."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from workers.settings import default_script

ROOT = Path(__file__).resolve().parent.parent


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder / "lib")},
        capture_output=True,
        text=True,
        check=False,
    )


pytestmark = pytest.mark.compiled


def shipped(folder: Path) -> set[Path]:
    """The examples in a folder."""
    files = [*folder.rglob("*.py"), *folder.rglob("*.toml")]
    return {path.relative_to(folder) for path in files}


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A folder with what a wheel holds; its extensions are those that are built already."""
    build = ["setup.py", "-q", "build_py", "--build-lib", str(tmp_path / "lib")]
    subprocess.run([sys.executable, *build], cwd=ROOT, check=True, capture_output=True)
    for extension in [*ROOT.glob("proxy/**/*.so"), *ROOT.glob("workers/**/*.so")]:
        shutil.copy(extension, tmp_path / "lib" / extension.relative_to(ROOT))
    return tmp_path


def test_what_is_installed_checks_an_empty_configuration(installed: Path) -> None:
    (installed / "s.toml").write_text("")
    found = run(installed, "-m", "workers", "check", "-c", "s.toml")
    assert (found.returncode, found.stdout, found.stderr) == (0, "s.toml: no mistakes.\n", "")
    shown = run(
        installed, "-c", "from workers.settings import DEFAULT_SCRIPT; print(DEFAULT_SCRIPT)"
    ).stdout
    assert shown == f"{installed}/lib/workers/conf/routing.py\n"
    assert (installed / "lib/workers/conf/sipherd.toml").exists()
    assert shipped(installed / "lib/workers/conf/examples") == shipped(ROOT / "conf/examples")
    kit = "from workers.policy_kit import PolicyKit\nfrom workers.settings import DEFAULT_SCRIPT\n"
    played = "print(PolicyKit(DEFAULT_SCRIPT).request('OPTIONS', 'sip:example.com'))"
    assert run(installed, "-c", kit + played).stdout == "[192.0.2.1:5060 200 OK]\n"


def test_without_the_shipped_policy_there_is_a_sentence(installed: Path) -> None:
    (installed / "s.toml").write_text("")
    script = installed / "lib/workers/conf/routing.py"
    script.unlink()
    found = run(installed, "-m", "workers", "check", "-c", "s.toml")
    assert found.returncode == 1
    assert found.stderr == (
        f"The routing script {installed}/lib/conf/routing.py cannot be read: "
        "No such file or directory. [routing] script names another.\n"
    )


def test_in_the_sources_it_is_the_one_that_can_be_edited() -> None:
    assert default_script(ROOT / "workers") == ROOT / "conf" / "routing.py"
