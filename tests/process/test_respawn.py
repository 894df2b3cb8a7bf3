"""All workers killed at once: what comes meanwhile is answered by the next ones."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest
from process_harness import PATIENCE_S, SETTINGS, Server, wait_for
from sip_phone import phone_of

from workers import priority

pytestmark = pytest.mark.compiled


def nice_of(pid: int) -> int:
    return os.getpriority(os.PRIO_PROCESS, pid)


def test_all_workers_at_once(make_server: Callable[..., Server]) -> None:
    server = make_server(SETTINGS.replace("udp = 3", "udp = 2"), "sip").start()
    with phone_of(server) as phone:
        for turn in range(30):
            for pid in wait_for(lambda: pids if len(pids := workers(server)) == 2 else None):
                os.kill(pid, signal.SIGKILL)
            names = [f"{turn}-{number}" for number in range(8)]
            for name in names:
                phone.send("known", name)
            assert phone.are_answered(set(names), PATIENCE_S)
    assert server.ctl("get_statistics", "restarts") == {"sipherd:restarts": 60}


def workers(server: Server) -> list[int]:
    return [pid for title, pid in server.children().items() if "worker" in title]


def test_a_child_that_is_up_is_no_more_urgent_than_others(server: Server) -> None:
    usual = priority.usual()
    wait_for(lambda: {nice_of(pid) for pid in server.children().values()} == {usual})
    assert nice_of(server.pid) in {usual, max(-20, usual - priority.AHEAD)}
