"""The policies of conf/examples do what their texts say (--rewrite takes over what they did)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.examples.transcript import EXAMPLES, Transcript
from tests.scenarios.flow import play
from workers.config import load

FILES = sorted(Path(__file__).parent.glob("*.txt"))
SCRIPTS = sorted(EXAMPLES.glob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_example(path: Path, request: pytest.FixtureRequest) -> None:
    transcript = Transcript()
    text = play(path, transcript)
    if request.config.getoption("--rewrite"):
        path.write_text(text)
    assert text == path.read_text()
    transcript.kit.advance(400)
    assert transcript.kit.world.left() == (0, 0, 0)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_every_example_has_a_configuration_and_a_text(script: Path, tmp_path: Path) -> None:
    settings = script.with_suffix(".toml").read_text()
    copy = tmp_path / "s.toml"
    copy.write_text(settings)
    (tmp_path / script.name).write_text(script.read_text())
    assert load(copy).routing.script == tmp_path / script.name
    assert [path for path in FILES if path.name.startswith(script.stem)]
