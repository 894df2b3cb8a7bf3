"""A sharing tag moves from one real server to another: who pings, who hangs up, who writes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from process_harness import PATIENCE_S, Server, wait_for
from test_cluster import Pair, both
from test_dialogs import call_id, finals, lines, request, response

pytestmark = pytest.mark.compiled
Make = Callable[..., Server]

LIFETIME = 9
PING_S = 1
POLICY = """
from proxy.registrar.lookup import target_for

async def on_request(request):
    if request.in_dialog:
        request.relay()
        return
    request.create_dialog("Pp")
    request.relay([target_for(b"sip:gw@127.0.0.1:GATEWAY")])
"""
SECTIONS = f"""
[dialog]
enabled = true
capacity = 1000
sharing_tag = "vip"
default_timeout = {LIFETIME}
options_ping_interval = {PING_S}
delete_delay = 1
cdr_file = "FOLDER/NODE.cdr"
[routing]
script = "FOLDER/policy.py"
"""


class Ends:
    """Both telephones of a call; they answer, and remember which server asked for what, when."""

    def __init__(self) -> None:
        self.phones = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
        for phone in self.phones:
            phone.bind(("127.0.0.1", 0))
            phone.settimeout(PATIENCE_S)
        self.caller, self.callee = self.phones
        self.asked: list[tuple[str, int]] = []  # method, port of the server

    def port(self, phone: socket.socket) -> int:
        return int(phone.getsockname()[1])

    def call(self, server: Server, number: int) -> None:
        """A call over a server, up to the ACK."""
        port = self.port(self.caller)
        self.caller.connect(("127.0.0.1", server.port))
        self.caller.send(request("INVITE", number, port))
        data, source = self.callee.recvfrom(65_536)
        contact = f"Contact: <sip:gw@127.0.0.1:{self.port(self.callee)}>\r\n"
        self.callee.sendto(response(data, "200 OK", contact), source)
        answer = finals(self.caller, 1)[call_id(data)]
        route = lines(answer, b"Record-Route").replace(b"Record-Route", b"Route")
        uri = f"sip:gw@127.0.0.1:{self.port(self.callee)}"
        self.caller.send(request("ACK", number, port, uri, route))
        while not self.callee.recv(65_536).startswith(b"ACK"):
            pass  # the INVITE, repeated
        self.caller.close()
        self.caller = self.phones[0] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.caller.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.caller.bind(("127.0.0.1", port))

    def live(self, seconds: float) -> None:
        """Answer whatever comes for a while."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            for phone in self.phones:
                phone.settimeout(min(left, 0.02))
                try:
                    data, source = phone.recvfrom(65_536)
                except TimeoutError:
                    continue
                if not data.startswith(b"SIP/2.0"):
                    method = data.split(b" ", 1)[0].decode()
                    self.asked.append((method, source[1]))
                    phone.sendto(response(data, "200 OK"), source)

    def live_until(self, check: Callable[[], bool]) -> None:
        """Answer whatever comes until this is so."""
        end = time.monotonic() + LIFETIME + PATIENCE_S
        while not check():
            assert time.monotonic() < end, f"{check} never became true"
            self.live(0.1)

    def askers(self, method: str) -> set[int]:
        return {port for asked, port in self.asked if asked == method}


@pytest.fixture
def ends() -> Iterator[Ends]:
    made = Ends()
    yield made
    for phone in made.phones:
        phone.close()


@pytest.fixture
def two(make_server: Make, tmp_path: Path, ends: Ends) -> tuple[Server, Server]:
    pair = Pair(make_server)
    text = POLICY.replace("GATEWAY", str(ends.port(ends.callee)))
    (tmp_path / "policy.py").write_text(text)
    sections = SECTIONS.replace("FOLDER", str(tmp_path))
    more = "insecure = true\n" + sections
    return both(pair.node(1, pair.url(2), more), pair.node(2, pair.url(1), more))


def acts(server: Server) -> bool:
    return [row["State"] for row in server.ctl("clusterer_list_shtags")] == ["active"]


def activate(server: Server, other: Server) -> None:
    server.ctl("clusterer_shtag_set_active", tag="vip/1")
    wait_for(lambda: acts(server) and not acts(other))


def records(folder: Path) -> dict[int, list[str]]:
    """The ids of the calls in each node's file."""
    found = {}
    for node in (1, 2):
        file = folder / f"{node}.cdr"
        written = file.read_text().splitlines() if file.exists() else []
        found[node] = [json.loads(line)["did"] for line in written]
    return found


def test_the_tag_moves_and_with_it_all_that_is_done_unasked(
    two: tuple[Server, Server], ends: Ends, tmp_path: Path
) -> None:
    one, other = two
    ends.call(one, 1)
    ends.live(2 * PING_S)
    assert ends.asked == [], "nobody is active, nobody acts"
    activate(one, other)
    ends.live_until(lambda: bool(ends.askers("OPTIONS")))
    assert ends.askers("OPTIONS") == {one.port}
    activate(other, one)
    ends.live(0.2)  # what was asked meanwhile
    moved = len(ends.asked)
    ends.live_until(lambda: len(records(tmp_path)[2]) == 1)
    askers = [port for method, port in ends.asked[moved:] if method == "OPTIONS"]
    assert askers.count(one.port) <= 2, "what it was about to ask both when it lost the tag"
    assert other.port in askers
    assert ends.askers("BYE") == {other.port}
    activate(one, other)
    ends.live(2 * PING_S)
    written = records(tmp_path)
    assert (len(written[1]), len(written[2])) == (0, 1)


def test_the_tag_follows_an_address_of_this_machine(make_server: Make) -> None:
    address = ["127.0.64.79/32", "dev", "lo"]
    added = subprocess.run(["ip", "address", "add", *address], capture_output=True, check=False)
    if added.returncode:
        pytest.skip(f"needs to change addresses: {added.stderr.decode().strip()}")
    setting = '{ address = "127.0.64.79" }'
    pair = Pair(lambda text, worker: make_server(text.replace('"backup"', setting), worker))
    try:
        server = pair.node(1, pair.url(2)).start()
        wait_for(lambda: acts(server))
        subprocess.run(["ip", "address", "del", *address], check=True)
        wait_for(lambda: not acts(server))
        assert "address left" in server.log
        subprocess.run(["ip", "address", "add", *address], check=True)
        wait_for(lambda: acts(server))
    finally:
        subprocess.run(["ip", "address", "del", *address], capture_output=True, check=False)


def test_a_killed_clusterer_leaves_the_tag_where_it_is(
    two: tuple[Server, Server], ends: Ends, tmp_path: Path
) -> None:
    one, other = two
    activate(one, other)
    before = one.children()["clusterer"]
    os.kill(before, signal.SIGKILL)
    ends.call(one, 1)
    wait_for(lambda: one.children().get("clusterer", before) != before)
    ends.live_until(lambda: bool(ends.askers("OPTIONS")))
    ends.live(2 * PING_S)
    assert ends.askers("OPTIONS") == {one.port}
    wait_for(lambda: acts(one) and not acts(other))


def test_a_node_that_was_started_anew_is_in_backup(two: tuple[Server, Server], ends: Ends) -> None:
    one, other = two
    activate(one, other)
    assert one.stop() == 0
    one.start()
    wait_for(lambda: one.ctl("clusterer_list")["Clusters"][0]["Nodes"][0]["link_state"] == "Up")
    wait_for(lambda: not acts(one))
    assert not acts(other)
