"""Scenarios of loadtests/sipp, run by SIPp against two workers."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from loadtests.servers import Server, Sipherd
from tests.e2e.sipp_runner import Sipp, Statistics

Start = Callable[..., Sipp]


def call(
    sipp: Start,
    uac: str,
    uas: str,
    *,
    calls: int = 5,
    rate: int = 20,
    local: str = "127.0.0.1",
    callee: str = "",
    uac_options: tuple[str, ...] = (),
    uas_options: tuple[str, ...] = (),
    timeout: int = 60,
) -> tuple[Statistics, Statistics]:
    """Register a callee, place `calls` calls to it; the statistics of caller and callee."""
    user = callee or f"{uas}-{'six' if ':' in local else 'four'}"
    answering = sipp(uas, local, calls=calls, options=uas_options, timeout=timeout)
    answering.wait_listening()
    sipp(
        "register_only",
        local,
        user=user,
        options=("-key", "target", answering.address),
    ).wait().check(1)
    calling = sipp(
        uac, local, calls=calls, rate=rate, user=user, options=uac_options, timeout=timeout
    )
    return calling.wait(), answering.wait()


def test_register_refresh_fetch_unregister(sipp: Start) -> None:
    sipp("register", calls=50, rate=50, user="many").wait().check(50)


def test_two_hundred_calls(server: Server, sipp: Start) -> None:
    before = handed_off(server)
    caller, callee = call(
        sipp,
        "uac",
        "uas",
        calls=200,
        rate=50,
        uac_options=("-d", "200"),
    )
    caller.check(200)
    callee.check(200)
    if isinstance(server, Sipherd):
        assert handed_off(server) > before, "both workers share the load of one trunk"


def handed_off(server: Server) -> int:
    """How many datagrams one worker gave to another so far."""
    if not isinstance(server, Sipherd):
        return 0
    return server.statistics("sipherd:")["sipherd:handed_off"]


@pytest.mark.parametrize("local", ["127.0.0.1", "::1"])
def test_call_by_family(sipp: Start, local: str) -> None:
    caller, callee = call(sipp, "uac", "uas", local=local, uac_options=("-d", "100"))
    caller.check(5)
    callee.check(5)


def test_cancel(sipp: Start) -> None:
    caller, callee = call(sipp, "uac_cancel", "uas_cancel", uac_options=("-d", "200"))
    caller.check(5)
    callee.check(5)


def test_busy(sipp: Start) -> None:
    caller, callee = call(sipp, "uac_busy", "uas_busy")
    caller.check(5)
    callee.check(5)


def test_no_answer(sipp: Start) -> None:
    caller, callee = call(sipp, "uac_no_answer", "uas_no_answer", uas_options=("-d", "1000"))
    caller.check(5)
    callee.check(5)


def test_reinvite(sipp: Start) -> None:
    caller, callee = call(sipp, "uac_reinvite", "uas_reinvite", uac_options=("-d", "100"))
    caller.check(5)
    callee.check(5)


def test_calls_survive_lost_datagrams(sipp: Start) -> None:
    """A tenth of what either side sends is lost: retransmissions carry every call through."""
    caller, callee = call(
        sipp,
        "uac_lossy",
        "uas_lossy",
        calls=40,
        rate=40,
        uac_options=("-d", "100"),
    )
    caller.check(40)
    callee.check(40)
    assert caller.retransmissions > 0, "nothing was lost"


def test_options_as_keep_alive(sipp: Start) -> None:
    sipp("keepalive", calls=20, rate=50, options=("-d", "50")).wait().check(20)


def test_unknown_callee_is_not_found(sipp: Start) -> None:
    sipp("uac_not_found", user="nobody-here").wait().check(1)
