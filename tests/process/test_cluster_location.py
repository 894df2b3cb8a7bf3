"""Registrations of two real servers: what is removed stays so, whatever dies or comes back."""

from __future__ import annotations

import os
import signal
import time

import pytest
from cluster_harness import Make, Pair, are_equal, both, clusterer, knows, register, status
from process_harness import Server, is_alive, wait_for

pytestmark = pytest.mark.compiled


@pytest.fixture
def two(make_server: Make) -> tuple[Server, Server]:
    pair = Pair(make_server)
    return both(pair.node(1, pair.url(2)), pair.node(2, pair.url(1)))


def gauges(server: Server) -> tuple[int, int]:
    """Registered users, and contacts."""
    names = ["usrloc:registered_users", "usrloc:location-contacts"]
    found = server.ctl("get_statistics", names)
    return int(found[names[0]]), int(found[names[1]])


def test_a_phone_that_leaves_anywhere_is_gone_everywhere(two: tuple[Server, Server]) -> None:
    one, other = two
    for number in range(20):
        register(one, f"u{number}")
    wait_for(lambda: gauges(other) == (20, 20))
    for number in range(10):
        register(other, f"u{number}", cseq=2, expires=0)
    assert other.ctl("ul_rm", "location", "u10@example.com") == "OK"
    wait_for(lambda: gauges(one) == gauges(other) == (9, 9))
    wait_for(lambda: are_equal(one, other), 20)
    assert len(one.ctl("ul_dump")["Domains"][0]["AORs"]) == 9
    wait_for(lambda: status(one)["tombstones"] == status(other)["tombstones"] == 11)


def test_a_frozen_node_brings_nothing_back(two: tuple[Server, Server]) -> None:
    """Its clusterer has old registrations on the way that the other has removed meanwhile."""
    one, other = two
    register(one, "alice")
    wait_for(lambda: knows(other, "alice"))
    os.kill(clusterer(other), signal.SIGSTOP)
    try:
        register(other, "alice", cseq=2)  # noted, and nobody is told
        register(other, "bob")
        time.sleep(0.005)  # of two nodes' changes in one millisecond neither is the later one
        register(one, "alice", cseq=3, expires=0)
        register(one, "bob", cseq=2, expires=0)
    finally:
        os.kill(clusterer(other), signal.SIGCONT)
    # Equal they may be for a moment before that clusterer has looked at what it missed.
    wait_for(lambda: gauges(one) == gauges(other) == (0, 0), 20)
    wait_for(lambda: are_equal(one, other), 20)


def test_a_server_that_comes_back_with_its_old_table(two: tuple[Server, Server]) -> None:
    one, other = two
    for user in ("alice", "bob"):
        register(other, user)
        wait_for(lambda user=user: knows(one, user))
    members = [other.pid, *other.children().values()]
    for pid in members:
        os.kill(pid, signal.SIGKILL)
    other.process.wait()  # type: ignore[union-attr]
    wait_for(lambda: not any(map(is_alive, members)))
    register(one, "alice", cseq=2, expires=0)
    register(one, "carol")
    other.start()
    wait_for(lambda: knows(other, "carol"), 20)
    wait_for(lambda: are_equal(one, other), 20)
    assert knows(other, "bob")
    assert not knows(one, "alice")
    assert not knows(other, "alice")


def test_nothing_accepted_is_lost_while_processes_die(two: tuple[Server, Server]) -> None:
    one, other = two
    for number in range(60):
        register(one if number % 2 else other, f"u{number}")
        if number % 20 == 10:
            os.kill(clusterer(one), signal.SIGKILL)
        if number % 20 == 15:
            os.kill(clusterer(other), signal.SIGKILL)
    wait_for(lambda: gauges(one) == gauges(other) == (60, 60), 20)
    wait_for(lambda: are_equal(one, other), 20)
