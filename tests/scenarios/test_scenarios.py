"""Every text scenario prints what its file says (--rewrite takes over what it printed)."""

from pathlib import Path

import pytest

from tests.scenarios.flow import Flow, play

FILES = sorted(Path(__file__).parent.glob("*.txt"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_scenario(path: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    flow = Flow(tmp_path)
    text = play(path, flow)
    if request.config.getoption("--rewrite"):
        path.write_text(text)
    assert text == path.read_text()
    flow.world.wait(400)  # longer than timer C and the patience after its CANCEL
    assert flow.world.left() == (0, 0, 0)
