"""SIGUSR2: another version of the program takes over a running server, or leaves it as it was."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from process_harness import SETTINGS, Server, wait_for
from programs import Programs
from sip_phone import phone_of

Make = Callable[..., Server]
PATIENCE_S = 40.0  # for a program to be loaded twice, on a busy machine

# The real worker is compiled through and through.
pytestmark = pytest.mark.compiled


@pytest.fixture
def programs(tmp_path: Path) -> Programs:
    folder = tmp_path / "programs"
    folder.mkdir()
    return Programs(folder)


@pytest.fixture
def running(make_server: Make, programs: Programs) -> Iterator[Server]:
    """A server of version 1."""
    server = make_server(SETTINGS, "sip")
    programs.install("1")
    server.program = programs.current
    server.start()
    yield server
    assert server.stop() == 0
    assert "unexpected error" not in server.log


def versions(server: Server) -> set[str]:
    return {row["Version"] for row in server.ctl("ps")["Processes"]}


def upgrade(server: Server, outcome: str) -> None:
    """Ask for an upgrade, and wait for a line that says what has become of it."""
    before = server.log.count(outcome)
    server.signal(signal.SIGUSR2)
    wait_for(lambda: server.log.count(outcome) > before, PATIENCE_S)


def answers(server: Server, name: str) -> bool:
    with phone_of(server) as phone:
        sent = {f"{name}-{number}" for number in range(20)}
        for call_id in sent:
            phone.send("any", call_id)
        return phone.are_answered(sent, 5)


def test_another_version_takes_over(running: Server, programs: Programs) -> None:
    assert versions(running) == {"1"}
    before = running.children()
    programs.install("2")
    upgrade(running, " upgraded version=2 before=1")
    assert versions(running) == {"2"}
    after = running.children()
    assert after.keys() == before.keys()
    assert not set(after.values()) & set(before.values())
    assert answers(running, "new")
    # The next one finds it as the first one did.
    programs.install("3")
    upgrade(running, " upgraded version=3 before=2")
    assert versions(running) == {"3"}
    assert running.ctl("get_statistics", "upgrades") == {"sipherd:upgrades": 2}


BROKEN = {
    "no Python": ({"control": ("class ControlEndpoint:", "class ControlEndpoint")}, "SyntaxError"),
    "other processes": (
        {"handover": ("FAMILY: Final = 1", "FAMILY: Final = 2")},
        "talk to each other in another way",
    ),
    "another layout": (
        {"adopted_tables": ("Shards.over)", "Page.over)")},
        "holds something else than page",
    ),
    "other settings": ({"settings": ("16_384", "8_192")}, "[lookups] answer_bytes cannot change"),
    "ends at once": ({"config": ("import json", "import os; os.kill(os.getpid(), 9)")}, "SIGKILL"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_cannot_take_over_changes_nothing_and_says_why(
    running: Server, programs: Programs, name: str
) -> None:
    edits, said = BROKEN[name]
    before = running.children()
    programs.install("2", **edits)
    upgrade(running, "upgrade refused")
    assert said in running.log
    assert running.children() == before
    assert versions(running) == {"1"}
    assert answers(running, "still")


def test_one_that_fails_in_taking_over_gives_everything_back(
    running: Server, programs: Programs
) -> None:
    before = running.children()
    point = "    handover.check()\n"
    fails = "    if 'SIPHERD_TRIAL' not in os.environ:\n        raise ValueError('too bad')\n"
    programs.install("2", adoption=(point, point + fails))
    upgrade(running, "upgrade failed")
    assert "version 2: ValueError('too bad')" in running.log
    assert running.children() == before
    assert versions(running) == {"1"}
    assert answers(running, "still")
