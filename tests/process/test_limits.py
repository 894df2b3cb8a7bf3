"""Pipes and the flood guard in a real server, over real UDP."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from process_harness import PATIENCE_S, SETTINGS, Server, wait_for
from sip_phone import Phone, phone_of

Make = Callable[..., Server]
pytestmark = pytest.mark.compiled

FLOOD = """
[flood]
enabled = true
sampling_time_unit = 2
reqs_density_per_unit = 100
remove_latency = 2
trusted = ["127.0.0.3/32"]
[log]"""
POLICY = """
async def on_request(request):
    request.reply(200 if request.pipe("trunk") else 503)
"""
PIPES = """
[routing]
script = "policy.py"
[ratelimit]
window_size = 3600
slot_period = 60000
pipes = [{ name = "trunk", limit = 30, algorithm = "SBT" }]
[log]"""


@contextmanager
def phone_at(server: Server, host: str) -> Iterator[Phone]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.bind((host, 0))
        client.connect(("127.0.0.1", server.port))
        yield Phone(client)


def is_served(phone: Phone, call_id: str, within_s: float = PATIENCE_S) -> bool:
    phone.send("nobody", call_id)
    return phone.is_answered(call_id, within_s)


def test_a_flood_is_stopped_and_others_are_served(make_server: Make) -> None:
    server = make_server(SETTINGS.replace("[log]", FLOOD), "sip").start()
    with (
        phone_at(server, "127.0.0.2") as flooder,
        phone_at(server, "127.0.0.3") as trunk,
        phone_of(server) as phone,
    ):
        for number in range(400):
            flooder.send("nobody", f"f{number}")
            trunk.send("nobody", f"t{number}")
            if number % 50 == 49:  # no faster than the server reads
                assert is_served(trunk, f"after{number}")
        wait_for(lambda: server.ctl("pike_list") == {"IPs": ["127.0.0.2"]})
        assert is_served(phone, "p1")
        assert is_served(trunk, "t-last")
        stopped = server.ctl("get_statistics", "flood_stopped")["sipherd:flood_stopped"]
        assert 0 < stopped <= 300  # how many depends on where a unit of time began
        assert server.ctl("get_statistics", "flood_bans") == {"sipherd:flood_bans": 1}
        assert server.log.count("source banned") == 1
        assert "source=127.0.0.2 rate=" in server.log
        # the ban ends, and again it does when an operator says so
        wait_for(lambda: server.ctl("pike_list") == {"IPs": []})
        flooder.client.setblocking(False)
        assert is_served(flooder, "free")
        for number in range(300):  # within two units of time, whenever the first has begun
            flooder.send("nobody", f"g{number}")
            if number % 50 == 49:
                assert is_served(trunk, f"between{number}")
        wait_for(lambda: server.ctl("pike_list") == {"IPs": ["127.0.0.2"]})
        assert server.ctl("pike_rm", "127.0.0.2") == "OK"
        assert is_served(flooder, "lifted")
    assert server.stop() == 0


def test_a_pipe_is_shared_by_all_workers_and_outlives_them(make_server: Make) -> None:
    server = make_server(SETTINGS.replace("[log]", PIPES), "sip")
    (server.folder / "policy.py").write_text(POLICY)
    server.start()
    pipe = {"id": "trunk", "algorithm": "SBT", "limit": 30, "counter": 0}
    assert server.ctl("rl_list", "trunk") == {"Pipe": pipe, "drop_rate": 0}
    with phone_of(server) as phone:
        assert all(is_served(phone, f"a{number}") for number in range(20))
        before = server.workers()
        os.kill(before[0], signal.SIGKILL)
        wait_for(lambda: set(server.workers()) != set(before), 10)
        assert all(is_served(phone, f"b{number}") for number in range(40))
    assert server.ctl("rl_dump_pipe", "trunk")["Counter"] == 30
    assert server.ctl("get_statistics", "pipe_refusals") == {"sipherd:pipe_refusals": 30}
    assert server.ctl("rl_reset_pipe", "trunk") == "OK"
    assert server.ctl("rl_dump_pipe", "trunk")["Total"] == 0
