"""A policy that never ends: its worker is found out and replaced, the others go on."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from process_harness import SETTINGS, Server, is_alive, wait_for

Make = Callable[..., Server]

POLICY = """
async def on_request(request):
    while request.uri.user == b"maze":
        pass
    request.reply(200)
"""

# The real worker is compiled through and through.
pytestmark = pytest.mark.compiled


def options(user: str, call_id: str, port: int) -> bytes:
    return (
        f"OPTIONS sip:{user}@127.0.0.1 SIP/2.0\r\n"
        f"Via: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bK{call_id};rport\r\n"
        "From: <sip:a@127.0.0.1>;tag=a\r\nTo: <sip:b@127.0.0.1>\r\n"
        f"Call-ID: {call_id}\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
    ).encode()


class Phone:
    """Sends OPTIONS; a Call-ID decides which worker it meets, whoever reads the socket."""

    def __init__(self, client: socket.socket) -> None:
        self.client = client
        self.port = int(client.getsockname()[1])

    def send(self, user: str, call_id: str) -> None:
        self.client.send(options(user, call_id, self.port))

    def is_answered(self, call_id: str, within_s: float) -> bool:
        self.client.settimeout(within_s)
        try:
            while f"Call-ID: {call_id}\r\n".encode() not in self.client.recv(4_096):
                pass
        except TimeoutError:
            return False
        return True


@contextmanager
def phone_of(server: Server) -> Iterator[Phone]:
    with server.client() as client:
        yield Phone(client)


def test_a_policy_that_loops_costs_one_worker_a_second(make_server: Make) -> None:
    server = make_server(SETTINGS.replace("[log]", '[routing]\nscript = "policy.py"\n[log]'), "sip")
    (server.folder / "policy.py").write_text(POLICY)
    server.start()
    before = server.workers()
    with phone_of(server) as phone, phone_of(server) as other:
        phone.send("maze", "lost")
        wait_for(lambda: busy(server))
        served = [name for name in map(str, range(40)) if answered_now(other, name)]
        assert 5 <= len(served) < 40, "the other workers serve what they read and own"
        started = time.monotonic()
        wait_for(lambda: "process hangs" in server.log)
        wait_for(lambda: set(server.workers()) != set(before), 10)
        assert time.monotonic() - started < 4
        (gone,) = set(before) - set(server.workers())
        wait_for(lambda: not is_alive(gone))
        for name in map(str, range(40, 80)):
            other.send("known", name)
            assert other.is_answered(name, 2), name
    assert server.ctl("get_statistics", "hangs") == {"sipherd:hangs": 1}
    assert "in on_request" in server.log  # where it was lost
    assert server.status() is None


def busy(server: Server) -> bool:
    """Whether the request has been read."""
    return bool(server.ctl("get_statistics", "rcv_requests")["core:rcv_requests"])


def answered_now(phone: Phone, call_id: str) -> bool:
    phone.send("known", call_id)
    return phone.is_answered(call_id, 0.02)
