"""Every text scenario prints what its file says (--rewrite takes over what it printed)."""

from pathlib import Path

import pytest

from tests.scenarios.flow import play
from tests.scenarios.world import World

FILES = sorted(Path(__file__).parent.glob("*.txt"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_scenario(path: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    text = play(path, World(tmp_path))
    if request.config.getoption("--rewrite"):
        path.write_text(text)
    assert text == path.read_text()
