"""SIGUSR2: another version of the program takes over a running server, or leaves it as it was."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cluster_harness import Pair, are_equal, both, knows, register
from process_harness import SETTINGS, Server, is_alive, wait_for
from sip_phone import phone_of

from loadtests.guessing import Guesser
from loadtests.programs import Programs
from proxy.errors import SipherdError
from workers.storage.setup import create
from workers.storage.subscribers import add_user

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
    assert "stopped clean=True" in server.log


def versions(server: Server) -> set[str]:
    """Those of all processes; none while nobody can be asked."""
    try:
        return {row["Version"] for row in server.ctl("ps")["Processes"]}
    except SipherdError:
        return set()


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
        return phone.are_answered(sent, PATIENCE_S)


def test_another_version_takes_over(running: Server, programs: Programs) -> None:
    assert versions(running) == {"1"}
    before = running.children()
    programs.install("2")
    upgrade(running, " upgraded version=2 before=1")
    wait_for(lambda: versions(running) == {"2"}, PATIENCE_S)
    after = running.children()
    assert len(after) == len(before)
    assert not set(after.values()) & set(before.values())
    assert answers(running, "new")
    # The next one finds it as the first one did.
    programs.install("3")
    upgrade(running, " upgraded version=3 before=2")
    wait_for(lambda: versions(running) == {"3"}, PATIENCE_S)
    assert running.ctl("get_statistics", "upgrades") == {"sipherd:upgrades": 2}


BROKEN = {
    "no Python": ({"control": ("class ControlEndpoint:", "class ControlEndpoint")}, "SyntaxError"),
    "other processes": (
        {"handover": ("FAMILY: Final = 2", "FAMILY: Final = 3")},
        "talk to each other in another way",
    ),
    "another layout": (
        {"adopted_tables": ("Shards.over)", "Page.over)")},
        "holds something else than page",
    ),
    "other settings": ({"settings": ("16_384", "8_192")}, "[lookups] answer_bytes cannot change"),
    "ends at once": ({"config": ("import json", "import os; os.kill(os.getpid(), 9)")}, "SIGKILL"),
}


def test_what_cannot_take_over_changes_nothing_and_says_why(
    running: Server, programs: Programs
) -> None:
    before = running.children()
    for number, (name, (edits, said)) in enumerate(BROKEN.items(), 2):
        programs.install(str(number), **edits)
        upgrade(running, "upgrade refused")
        assert said in running.log, name
    assert running.children() == before
    assert versions(running) == {"1"}
    assert answers(running, "still")
    refused = running.ctl("get_statistics", "upgrades_refused")
    assert refused == {"sipherd:upgrades_refused": len(BROKEN)}


def test_what_fails_after_its_trial_gives_everything_back(
    running: Server, programs: Programs
) -> None:
    before = running.children()
    point = "    handover.check()\n"
    fails = "    if 'SIPHERD_TRIAL' not in os.environ:\n        raise ValueError('too bad')\n"
    programs.install("2", adoption=(point, point + fails))
    upgrade(running, "upgrade failed")
    assert "version 2: ValueError('too bad')" in running.log
    assert running.children() == before
    # One whose workers cannot be made ready.
    point = "    worker = UdpWorker(child)\n"
    programs.install("3", udp_worker=(point, point + "    raise ValueError('too bad')\n"))
    upgrade(running, "upgrade failed")
    assert re.search("version 3: new workers: udp worker [456] could not start", running.log)
    wait_for(lambda: running.children() == before, PATIENCE_S)
    assert versions(running) == {"1"}
    # One whose workers serve: they are renewed once more.
    programs.install("4", control=("asyncio.run(_serve(child))", "1 / 0"))
    upgrade(running, "upgrade failed")
    assert "version 4: control could not start" in running.log
    wait_for(lambda: versions(running) == {"1"}, PATIENCE_S)
    wait_for(lambda: len(running.children()) == len(before), PATIENCE_S)
    assert answers(running, "still")
    assert running.ctl("get_statistics", "upgrades_failed") == {"sipherd:upgrades_failed": 3}


def test_a_trial_that_is_killed_and_signals_in_the_midst_change_nothing(
    running: Server, programs: Programs
) -> None:
    programs.install("2", config=("import json", "import json, time; time.sleep(600)"))
    running.signal(signal.SIGUSR2)
    trial = wait_for(lambda: trial_of(running))
    for number in (signal.SIGHUP, signal.SIGUSR2, signal.SIGUSR1, signal.SIGTTIN):
        running.signal(number)
    os.kill(running.workers()[0], signal.SIGKILL)
    programs.install("3")
    os.kill(trial, signal.SIGKILL)
    wait_for(lambda: "upgrade refused" in running.log, PATIENCE_S)
    # The second USR2 and the reload are still wanted; that the file says three workers is as well.
    wait_for(lambda: " upgraded version=3" in running.log, PATIENCE_S)
    wait_for(lambda: " reloaded " in running.log, PATIENCE_S)
    wait_for(lambda: len(running.children()) == 5 and versions(running) == {"3"}, PATIENCE_S)
    assert answers(running, "all")


STORED = """
[storage]
urls = ["sqlite:///DATABASE"]
mode = "single-instance-sql-write-through"
[auth]
enabled = true
algorithms = ["MD5"]
"""


@pytest.fixture
def stored(pair: Pair, programs: Programs, tmp_path: Path) -> tuple[Server, Server]:
    """Two nodes, one of version 1 that has a database and asks for passwords."""
    node, other = pair.node(1, pair.url(2)), pair.node(2, pair.url(1))
    create(url := f"sqlite:///{tmp_path}/node.db")
    add_user(url, "alice", "example.com", "example.com", "secret")
    settings = STORED.replace("DATABASE", f"{tmp_path}/node.db")
    node.file.write_text(node.file.read_text() + settings)
    programs.install("1")
    node.program = programs.current
    return both(node, other)


def rows(folder: Path) -> int:
    with contextlib.closing(sqlite3.connect(folder / "node.db")) as database:
        (found,) = database.execute("SELECT count(*) FROM location").fetchone()
    return int(found)


def test_passwords_database_and_the_other_node_stay_through_an_upgrade(
    stored: tuple[Server, Server], programs: Programs, tmp_path: Path
) -> None:
    node, other = stored
    phone = Guesser(("127.0.0.1", node.port), "alice")
    with contextlib.closing(phone.sock):
        assert phone.guess("secret", 0) == 200
        wait_for(lambda: are_equal(node, other) and knows(other, "alice"))
        programs.install("2")
        upgrade(node, " upgraded version=2 before=1")
        # Workers of before may stay for a while with the transactions that they have.
        found = {row["Type"]: row["Version"] for row in node.ctl("ps")["Processes"]}
        assert found["storage"] == found["clusterer"] == found["timekeeper"] == "2"
        assert phone.guess("wrong", 0) == 401
        assert phone.guess("secret", 0) == 200
    assert rows(tmp_path) == 1
    wait_for(lambda: are_equal(node, other) and knows(other, "alice"), PATIENCE_S)
    register(other, "bob")
    wait_for(lambda: knows(node, "bob"), PATIENCE_S)


def test_term_ends_a_server_in_each_part_of_an_upgrade(
    stored: tuple[Server, Server], programs: Programs
) -> None:
    node, _ = stored
    programs.install("2", config=("import json", "import json, time; time.sleep(600)"))
    node.signal(signal.SIGUSR2)
    family = {wait_for(lambda: trial_of(node)), *node.children().values()}
    assert node.stop() == 0
    wait_for(lambda: not any(is_alive(pid) for pid in family))
    programs.install("3")
    node.start()
    programs.install("4")
    node.signal(signal.SIGUSR2)
    wait_for(lambda: " took over version=4 " in node.log, PATIENCE_S)
    assert node.stop() == 0
    assert node.log.count("stopped clean=True") == 2
    assert " upgraded version=4 " not in node.log
    node.start()
    assert versions(node) == {"4"}


def trial_of(server: Server) -> int:
    """The child that is none of the process table's."""
    path = Path(f"/proc/{server.pid}/task/{server.pid}/children")
    others = {int(pid) for pid in path.read_text().split()} - set(server.children().values())
    return others.pop() if others else 0
