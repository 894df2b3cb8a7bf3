"""Who goes first, as the kernel sees it."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from process_harness import SETTINGS, Server

# The real worker is compiled through and through.
pytestmark = pytest.mark.compiled


def test_only_workers_wait_for_their_turn_when_woken(make_server: Callable[..., Server]) -> None:
    server = make_server(SETTINGS, "sip").start()
    policies = {title: os.sched_getscheduler(pid) for title, pid in server.children().items()}
    gathering = {title for title, policy in policies.items() if policy == os.SCHED_BATCH}
    assert gathering == {title for title in policies if "worker" in title}
    assert len(gathering) == 3
