"""What was acknowledged stays and what was removed stays away, whatever befalls the links."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from loadtests.servers import json_line


def test_three_nodes_lose_nothing(perform: Callable[..., Any]) -> None:
    """Loss, cut links, killed processes, frozen nodes."""
    words = ["everything", "--seconds", "5", "--seed", "1"]
    done = perform("loadtests.faults", *words)
    found = json_line([line.partition(" ")[2] for line in done.stdout.splitlines()])
    assert found["acknowledged"] > 400
    assert (found["lost"], found["resurrected"], found["refused"]) == (0, 0, 0), found["tales"]
    assert found["equal_after_load_s"] is not None
    assert found["table_clean"]
    assert not found["internal_errors"]
