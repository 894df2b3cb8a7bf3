"""A policy that never ends: its worker is found out and replaced, the others go on."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from contextlib import ExitStack

import pytest
from process_harness import PATIENCE_S, SETTINGS, Server, is_alive, wait_for
from sip_phone import Phone, options, phone_of

Make = Callable[..., Server]

POLICY = """
async def on_request(request):
    while request.uri.user == b"maze":
        pass
    request.reply(200)
"""

# The real worker is compiled through and through.
pytestmark = pytest.mark.compiled


def test_a_policy_that_loops_costs_one_worker(make_server: Make) -> None:
    settings = SETTINGS.replace("hang_seconds = 10", "hang_seconds = 3")
    server = make_server(settings.replace("[log]", '[routing]\nscript = "policy.py"\n[log]'), "sip")
    (server.folder / "policy.py").write_text(POLICY)
    server.start()
    before = server.workers()
    with ExitStack() as stack:
        phones = [stack.enter_context(phone_of(server)) for _ in range(8)]
        phones[0].send("maze", "lost")
        wait_for(lambda: busy(server))
        # What the kernel gives to the lost worker, or belongs to it, has to wait for the next.
        served = itertools.count(1)
        for number in range(40):
            if answered_now(phones[number % 8], str(number)) and next(served) == 5:
                break
        else:
            pytest.fail("who is not lost does not serve")
        assert "process hangs" not in server.log
        wait_for(lambda: "process hangs" in server.log)
        wait_for(lambda: set(server.workers()) != set(before))
        (gone,) = set(before) - set(server.workers())
        wait_for(lambda: not is_alive(gone))
        for number in range(40, 80):
            phones[number % 8].send("known", str(number))
            assert phones[number % 8].is_answered(str(number), PATIENCE_S), number
    assert server.ctl("get_statistics", "hangs") == {"sipherd:hangs": 1}
    assert "in on_request" in server.log  # where it was lost
    assert server.status() is None


def busy(server: Server) -> bool:
    """Whether the request has been read."""
    return bool(server.ctl("get_statistics", "rcv_requests")["core:rcv_requests"])


def answered_now(phone: Phone, call_id: str) -> bool:
    phone.send("known", call_id)
    return phone.is_answered(call_id, 0.05)


LABOURS = """
async def on_request(request):
    if request.uri.user == b"labour":
        import time
        until = time.monotonic() + 1.6
        while time.monotonic() < until:
            pass
    if request.uri.user == b"hoard":
        kept = []
        while True:
            kept.append(bytearray(1_000_000))
    request.reply(200)
"""


def test_a_policy_that_computes_for_long_is_shown(make_server: Make) -> None:
    settings = SETTINGS.replace("hang_seconds = 10", "hang_seconds = 30\nslow_seconds = 0.5")
    server = make_server(settings.replace("[log]", '[routing]\nscript = "policy.py"\n[log]'), "sip")
    (server.folder / "policy.py").write_text(LABOURS)
    server.start()
    before = server.workers()
    with phone_of(server) as phone:
        phone.send("labour", "1")
        assert phone.is_answered("1", PATIENCE_S)
    assert "process is slow" in server.log
    assert "in on_request" in server.log
    assert server.workers() == before
    assert server.ctl("get_statistics", "slow_turns") == {"sipherd:slow_turns": 1}


def test_a_policy_that_hoards_memory_costs_its_call(make_server: Make) -> None:
    settings = SETTINGS.replace("hang_seconds = 10", "hang_seconds = 30\nmemory_mb = 256")
    server = make_server(settings.replace("[log]", '[routing]\nscript = "policy.py"\n[log]'), "sip")
    (server.folder / "policy.py").write_text(LABOURS)
    server.start()
    before = server.workers()
    with phone_of(server) as phone:
        for number in range(3):
            phone.send("hoard", f"h{number}")
            assert phone.is_answered(f"h{number}", PATIENCE_S)
        phone.send("known", "2")
        assert phone.is_answered("2", PATIENCE_S)
    assert server.ctl("get_statistics", "policy_errors") == {"sipherd:policy_errors": 3}
    assert "MemoryError" in server.log
    assert server.workers() == before


OUTWARDS = """
from proxy.registrar.lookup import target_for


async def on_request(request):
    request.relay([target_for(b"sip:bob@127.0.0.1:9")])
"""


def test_what_cannot_be_sent_is_answered_at_once(make_server: Make) -> None:
    server = make_server(SETTINGS.replace("[log]", '[routing]\nscript = "policy.py"\n[log]'), "sip")
    (server.folder / "policy.py").write_text(OUTWARDS)
    server.start()
    with phone_of(server) as phone:
        for number in range(10):
            message = options("bob", f"large{number}", phone.port)
            body = b"x" * (65_490 - len(message))  # with our Via it is no datagram any more
            announced = b"Content-Length: %d" % len(body)
            phone.client.send(message.replace(b"Content-Length: 0", announced) + body)
            assert phone.is_answered(f"large{number}", PATIENCE_S), "no sooner than by timer F"
