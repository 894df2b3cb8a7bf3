"""Softphones and SIPp show who they are, to forked workers and a real database."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from loadtests import processes
from loadtests.guessing import Guesser
from loadtests.servers import Server, Sipherd, wait_until
from tests.e2e.baresip_runner import Baresip
from tests.e2e.sipp_runner import Sipp
from tests.e2e.test_softphones import talk

pytestmark = pytest.mark.ours

PASSWORD = "correct-horse"
Line = Callable[[str], Guesser]
USERS = ("alice", "bob")


# Both programs, in the versions that are around, give up on an algorithm they do not know.
SETTINGS = (
    '[auth]\nenabled = true\nalgorithms = ["MD5"]\n[storage]\nurls = ["sqlite:///users.db"]\n'
)


def add_users(server: Sipherd) -> None:
    config = ("-c", str(server.config_path))
    assert server.run_command("db", "create", *config).returncode == 0
    for user in USERS:
        done = server.run_command("db", "add-user", f"{user}@example.com", *config, text=PASSWORD)
        assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server with two workers for the tests of this module."""
    server = Sipherd(tmp_path_factory.mktemp("server"), settings=SETTINGS)
    add_users(server)
    with server:
        yield server


@pytest.fixture
def guesser(sipherd: Sipherd) -> Iterator[Line]:
    """Makes lines of a user: `guesser("alice")`."""
    with ExitStack() as stack:

        def make(user: str) -> Guesser:
            line = Guesser((sipherd.host, sipherd.port), user)
            stack.callback(line.sock.close)
            return line

        yield make


def test_sipp_registers_with_the_password_and_not_without(
    sipherd: Sipherd, sipp: Callable[..., Sipp]
) -> None:
    right = ("-au", "alice", "-ap", PASSWORD, "-auth_uri", "example.com")
    sipp("register_auth", calls=20, rate=50, user="alice", options=right).wait().check(20)
    for user, password in (("alice", "wrong"), ("nobody", PASSWORD), ("bob", "x")):
        guess = ("-au", user, "-ap", password, "-auth_uri", "example.com")
        sipp("register_refused", calls=5, rate=50, user=user, options=guess).wait().check(5)
    assert set(sipherd.bindings()) == {"alice@example.com"}
    found = sipherd.statistics("sipherd:")
    assert found["sipherd:auth_wrong"] == 15
    assert found["sipherd:internal_errors"] == 0


def test_sipp_refreshes_and_unregisters_with_the_password(
    sipherd: Sipherd, sipp: Callable[..., Sipp]
) -> None:
    known = ("-au", "bob", "-ap", PASSWORD, "-auth_uri", "example.com", "-d", "20")
    sipp("register_digest", calls=5, rate=50, user="bob", options=known).wait().check(5)
    assert not sipherd.bindings().get("bob@example.com")


def test_two_softphones_talk(sipherd: Sipherd, baresip: Callable[..., Baresip]) -> None:
    alice = baresip("alice", tone=440.0, password=PASSWORD)
    bob = baresip("bob", tone=700.0, password=PASSWORD)
    alice.wait_registered()
    bob.wait_registered()
    before = sipherd.statistics("sipherd:")["sipherd:auth_accepted"]
    talk(alice, bob)
    assert sipherd.statistics("sipherd:")["sipherd:auth_accepted"] > before


def test_a_softphone_with_a_wrong_password(baresip: Callable[..., Baresip]) -> None:
    mallory = baresip("alice", password="guess")
    assert wait_until(lambda: "401 Unauthorized" in mallory.output, 20)


def test_five_hundred_wrong_passwords(guesser: Line) -> None:
    guessers = [guesser(user) for user in ("alice", "bob", "nobody", "somebody")]
    statuses = {guessers[n % 4].guess(f"guess {n}", n) for n in range(500)}
    assert statuses == {401}


def test_a_replay_is_refused_by_whichever_worker_it_meets(sipherd: Sipherd, guesser: Line) -> None:
    """The credentials of a REGISTER, sent again under other Call-IDs, which other workers own."""
    alice = guesser("alice")
    assert alice.guess(PASSWORD, 0) == 200
    replays = [guesser("alice").register(alice.last_line) for _ in range(12)]
    assert replays == [401] * 12
    assert sipherd.statistics("sipherd:")["sipherd:auth_replays"] >= 12


def test_while_the_database_hangs_the_known_go_on_and_the_unknown_get_503(
    sipherd: Sipherd, guesser: Line
) -> None:
    known, stranger = guesser("alice"), guesser("carol")
    assert known.guess(PASSWORD, 0) == 200
    stranger.register()
    (storage,) = [
        pid for pid in processes.children(sipherd.pid) if "storage" in processes.title(pid)
    ]
    os.kill(storage, signal.SIGSTOP)
    try:
        assert stranger.guess(PASSWORD, 0) == 503
        for number in range(20):
            assert known.guess(PASSWORD, number) == 200
    finally:
        os.kill(storage, signal.SIGCONT)
    assert wait_until(lambda: stranger.guess("guess", 0) == 401, 20, 0.2)
