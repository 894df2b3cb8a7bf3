"""All signals, in any order and at any time: nobody dies of it before TERM, nothing is lost."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable

import pytest
from process_harness import HASTY, Server, wait_for
from sip_phone import Phone, phone_of

from proxy.errors import SipherdError
from proxy.shm.repair import check

Make = Callable[..., Server]

ORDERS = (
    signal.SIGHUP,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGTTIN,
    signal.SIGTTOU,
    signal.SIGCHLD,
)
BLOWS = (signal.SIGKILL, signal.SIGKILL, signal.SIGSEGV, signal.SIGSTOP)  # to a child
STEPS = 60
ENDS_WITHIN_S = 30.0

# The real worker is compiled through and through.
pytestmark = pytest.mark.compiled


def strike(server: Server, chance: random.Random) -> None:
    """Something happens to the supervisor, or to one of its children."""
    if chance.random() < 0.8:
        server.signal(chance.choice(ORDERS))
        return
    children = [int(pid) for pid in children_of(server).split()]
    if children:
        with contextlib.suppress(ProcessLookupError):
            os.kill(chance.choice(children), chance.choice(BLOWS))


def children_of(server: Server) -> str:
    with open(f"/proc/{server.pid}/task/{server.pid}/children", encoding="ascii") as file:
        return file.read()


def registered(server: Server) -> set[str]:
    """Who is there; nobody, as long as an upgrade asked for earlier still replaces control."""
    try:
        rows = server.ctl("ul_dump")["Domains"][0]["AORs"]
    except SipherdError:
        return set()
    return {row["AOR"].partition("@")[0] for row in rows}


def is_well(server: Server, phone: Phone, name: str) -> bool:
    """Whether every process is there, one generation of workers, and a request is answered."""
    try:
        rows = server.ctl("ps")["Processes"]
    except Exception:  # noqa: BLE001 - control may be one of those that were hit
        return False
    serving = {row["Generation"] for row in rows if row.get("State") == "serving"}
    if len(serving) != 1 or sum("Generation" not in row for row in rows) != 3:
        return False
    phone.send("known", name)
    return phone.is_answered(name, 0.5)


@pytest.mark.parametrize("seed", range(2))
def test_no_signal_ends_it_but_those_that_shall(make_server: Make, seed: int) -> None:
    chance = random.Random(seed)
    server = make_server(HASTY, "sip").start()
    promised: set[str] = set()
    with phone_of(server) as phone:
        for step in range(STEPS):
            strike(server, chance)
            user = f"u{step}"
            if phone.register(user):
                promised.add(user)
            assert server.status() is None, server.log
        assert promised
        wait_for(lambda: is_well(server, phone, f"after{time.monotonic_ns()}"), 30)
        wait_for(lambda: promised <= registered(server), 30)
        for _ in range(10):
            strike(server, chance)
        server.signal(signal.SIGTERM)
        for _ in range(3):
            strike_order(server, chance)
    assert server.wait(ENDS_WITHIN_S) == 0
    assert not check(str(server.runtime / "location.table")).faults
    server.start()
    assert promised <= registered(server)


def strike_order(server: Server, chance: random.Random) -> None:
    with contextlib.suppress(ProcessLookupError):
        server.signal(chance.choice(ORDERS))
