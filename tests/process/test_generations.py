"""New workers take the place of old ones, and nobody outside notices."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest
from process_harness import SETTINGS, Server, wait_for
from sip_phone import phone_of

Make = Callable[..., Server]

pytestmark = pytest.mark.compiled


def test_one_more_and_one_less(make_server: Make) -> None:
    server = make_server(SETTINGS, "sip").start()
    server.signal(signal.SIGTTIN)
    wait_for(lambda: "workers serve" in server.log)
    print(server.ctl("ps"))
    with phone_of(server) as phone:
        for number in range(20):
            phone.send("a", f"a{number}")
            assert phone.is_answered(f"a{number}", 2)
    wait_for(lambda: "workers gone" in server.log)
    assert server.stop() == 0
    print(server.log)
