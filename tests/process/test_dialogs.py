"""Tracked calls in a real server: caps over all workers, and calls whose workers are killed."""

from __future__ import annotations

import os
import re
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from process_harness import PATIENCE_S, SETTINGS, Server, wait_for

pytestmark = pytest.mark.compiled
Make = Callable[..., Server]

CAP = 5
POLICY = f"""
from proxy.registrar.lookup import target_for

async def on_request(request):
    if request.in_dialog:
        request.relay()
        return
    request.record_route()
    if request.method == "INVITE" and not request.join_profile("trunk", "gw", limit={CAP}):
        request.reply(486)
        return
    request.relay([target_for(b"sip:gw@127.0.0.1:GATEWAY")])
"""


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    made = Gateway()
    yield made
    made.socket.close()
    made.caller.close()


class Gateway:
    """The callee of all calls, who answers what it is told to answer, and their caller's socket."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(PATIENCE_S)
        self.port = int(self.socket.getsockname()[1])
        self.contact = f"sip:gw@127.0.0.1:{self.port}"
        self.caller = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.caller.settimeout(PATIENCE_S)
        self.invites: dict[str, tuple[bytes, tuple[str, int]]] = {}

    def collect(self, method: bytes, count: int) -> None:
        """Receive until that many calls have been heard of by a method."""
        seen: set[str] = set()
        while len(seen) < count:
            data, source = self.socket.recvfrom(65_536)
            if data.startswith(method):
                seen.add(call_id(data))
                if method == b"INVITE":
                    self.invites[call_id(data)] = data, source
                elif method == b"BYE":
                    self.socket.sendto(response(data, "200 OK"), source)

    def answer(self, status: str) -> None:
        """Answer every INVITE."""
        for data, source in self.invites.values():
            contact = f"Contact: <{self.contact}>\r\n"
            self.socket.sendto(response(data, status, contact), source)


def call_id(data: bytes) -> str:
    found = re.search(rb"Call-ID: (\S+)", data)
    assert found is not None
    return found[1].decode()


def lines(data: bytes, name: bytes) -> bytes:
    """The lines of a header, as they stand."""
    wanted = name + b":"
    return b"".join(line + b"\r\n" for line in data.split(b"\r\n") if line.startswith(wanted))


def response(request: bytes, status: str, extra: str = "") -> bytes:
    to = lines(request, b"To")
    if b";tag=" not in to:
        to = to[:-2] + b";tag=gw\r\n"
    head = [
        lines(request, name) for name in (b"Via", b"Record-Route", b"From", b"Call-ID", b"CSeq")
    ]
    first = f"SIP/2.0 {status}\r\n".encode()
    return b"".join((first, *head, to, extra.encode(), b"Content-Length: 0\r\n\r\n"))


def request(
    method: str, number: int, port: int, uri: str = "sip:gw@127.0.0.1", route: bytes = b""
) -> bytes:
    to, cseq = (";tag=gw", 2 if method == "BYE" else 1) if route else ("", 1)
    return (
        (
            f"{method} {uri} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bK{method}{number};rport\r\n"
            f"From: <sip:a@127.0.0.1>;tag=a{number}\r\nTo: <sip:b@127.0.0.1>{to}\r\n"
            f"Call-ID: call-{number}\r\nCSeq: {cseq} {method}\r\nMax-Forwards: 70\r\n"
            f"Contact: <sip:a@127.0.0.1:{port}>\r\n"
        ).encode()
        + route
        + b"Content-Length: 0\r\n\r\n"
    )


def finals(client: socket.socket, count: int) -> dict[str, bytes]:
    """The final answers to that many INVITEs."""
    found: dict[str, bytes] = {}
    while len(found) < count:
        data = client.recv(65_536)
        if b" INVITE\r\n" in data and not data.startswith(b"SIP/2.0 1"):
            found[call_id(data)] = data
    return found


def statistics(server: Server) -> dict[str, int]:
    return {
        name.partition(":")[2]: value
        for name, value in server.ctl("get_statistics", "dialog:").items()
    }


def size(server: Server) -> int:
    return int(server.ctl("profile_get_size", profile="trunk", value="gw")["Profile"]["count"])


def make_calls(make_server: Make, folder: Path, gateway: Gateway) -> tuple[Server, socket.socket]:
    """A server, and ten times as many calls as the trunk takes, at once."""
    policy = folder / "policy.py"
    policy.write_text(POLICY.replace("GATEWAY", str(gateway.port)))
    settings = (
        f'{SETTINGS}\n[dialog]\nenabled = true\ncapacity = 1000\nprofiles = ["trunk"]\n'
        f'delete_delay = 0\n[routing]\nscript = "{policy}"\n'
    )
    server = make_server(settings, "sip").start()
    gateway.caller.connect(("127.0.0.1", server.port))
    port = gateway.caller.getsockname()[1]
    for number in range(10 * CAP):
        gateway.caller.send(request("INVITE", number, port))
    return server, gateway.caller


def test_a_cap_holds_over_all_workers_and_over_their_deaths(
    make_server: Make, tmp_path: Path, gateway: Gateway
) -> None:
    server, client = make_calls(make_server, tmp_path, gateway)
    refused = finals(client, 9 * CAP)
    assert {data[8:11] for data in refused.values()} == {b"486"}
    gateway.collect(b"INVITE", CAP)
    assert set(gateway.invites) | set(refused) == {f"call-{n}" for n in range(10 * CAP)}
    gateway.answer("180 Ringing")
    wait_for(lambda: statistics(server)["early_dialogs"] == CAP)
    assert size(server) == CAP

    for pid in server.workers():
        os.kill(pid, signal.SIGKILL)
    server.workers()
    assert size(server) == CAP
    gateway.answer("200 OK")
    answered = finals(client, CAP)
    assert {data[8:11] for data in answered.values()} == {b"200"}
    wait_for(lambda: statistics(server)["active_dialogs"] == CAP)
    assert statistics(server)["early_dialogs"] == 0

    port = client.getsockname()[1]
    client.send(request("INVITE", 99, port))
    assert finals(client, 1)["call-99"].startswith(b"SIP/2.0 486"), "the trunk is still full"
    for each in answered:
        number = int(each.rpartition("-")[2])
        route = lines(answered[each], b"Record-Route").replace(b"Record-Route", b"Route")
        client.send(request("ACK", number, port, gateway.contact, route))
    gateway.collect(b"ACK", CAP)
    for pid in server.workers():
        os.kill(pid, signal.SIGKILL)
    for each in answered:
        number = int(each.rpartition("-")[2])
        route = lines(answered[each], b"Record-Route").replace(b"Record-Route", b"Route")
        client.send(request("BYE", number, port, gateway.contact, route))
    gateway.collect(b"BYE", CAP)
    wait_for(lambda: statistics(server)["active_dialogs"] == 0)
    wait_for(lambda: size(server) == 0)


def test_calls_outlive_the_server(make_server: Make, tmp_path: Path, gateway: Gateway) -> None:
    server, client = make_calls(make_server, tmp_path, gateway)
    gateway.collect(b"INVITE", CAP)
    gateway.answer("200 OK")
    wait_for(lambda: statistics(server)["active_dialogs"] == CAP)
    ids = {row["ID"] for row in server.ctl("dlg_list")["Dialogs"] if row["state"] == 3}
    assert len(ids) == CAP
    server.stop()
    server.start()
    assert "profiles filled members=5" in server.log
    assert (statistics(server)["active_dialogs"], size(server)) == (CAP, CAP)
    client.send(request("INVITE", 99, client.getsockname()[1]))
    client.settimeout(PATIENCE_S)
    while call_id(data := client.recv(65_536)) != "call-99" or data.startswith(b"SIP/2.0 1"):
        pass
    assert data.startswith(b"SIP/2.0 486")
