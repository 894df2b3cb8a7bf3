"""GET /metrics of a real server, and clients that mean no good."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections.abc import Callable
from typing import Any

import pytest
from cluster_harness import Pair, both
from process_harness import PATIENCE_S, SETTINGS, Server, wait_for

from loadtests.ports import free_port

GET = b"GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n"


class Scraped:
    """A server and the address of its metrics."""

    def __init__(self, make: Callable[[str], Server]) -> None:
        self.port = free_port()
        self.server = make(f'[metrics]\nlisten = "127.0.0.1:{self.port}"\n')

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), PATIENCE_S)

    def say(self, request: bytes) -> bytes:
        """Everything that is answered, until the server has had enough."""
        with self.connect() as client:
            client.sendall(request)
            answer = b""
            with contextlib.suppress(ConnectionError):
                while data := client.recv(65_536):
                    answer += data
            return answer

    def get(self) -> dict[str, float]:
        head, _, body = self.say(GET).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK\r\n"), head
        lines = [line for line in body.decode().splitlines() if not line.startswith("#")]
        return {name: float(value) for name, _, value in (one.rpartition(" ") for one in lines)}


@pytest.fixture
def scraped(make_server: Callable[..., Server]) -> Scraped:
    found = Scraped(lambda text: make_server(SETTINGS + text))
    found.server.start()
    wait_for(lambda: "metrics are served" in found.server.log)
    return found


def test_a_scrape_says_what_ctl_says(scraped: Scraped) -> None:
    server = scraped.server
    server.ctl("ul_add", "location", "u@x.example", "sip:u@192.0.2.1", 3_600)
    found = scraped.get()
    assert found["sipherd_usrloc_registered_users"] == 1
    assert found["sipherd_location_capacity"] == 1_000
    assert found['sipherd_process_starts{process="udp worker 1"}'] == 1
    statistics: dict[str, Any] = server.ctl("get_statistics", "all")
    assert len(found) > len(statistics)
    assert scraped.say(b"GET / HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 404 ")
    assert scraped.say(b"\r\n\r\n").startswith(b"HTTP/1.1 400 ")


def test_a_replaced_process_is_seen_and_serves_again(scraped: Scraped) -> None:
    server = scraped.server
    os.kill(server.children()["control"], signal.SIGKILL)
    wait_for(lambda: server.log.count("metrics are served") == 2)
    found = scraped.get()
    assert found["sipherd_restarts_total"] == 1
    assert found['sipherd_process_starts{process="control"}'] == 2


@pytest.mark.compiled
def test_the_other_node_of_a_cluster(make_server: Callable[..., Server]) -> None:
    pair = Pair(make_server)
    one = Scraped(lambda text: pair.node(1, pair.url(2), f"insecure = true\n{text}"))
    _, other = both(one.server, pair.node(2, pair.url(1)))
    wait_for(lambda: one.get()['sipherd_peer_up{cluster="1",node="2"}'] == 1, 10)
    found = one.get()
    assert found['sipherd_cluster_synced{cluster="1"}'] == 1
    assert found['sipherd_peer_lag_seconds{cluster="1",node="2"}'] >= 0
    assert found["sipherd_clusterer_clusterer_nodes_up"] == 1
    assert other.stop() == 0
    wait_for(lambda: one.get()['sipherd_peer_up{cluster="1",node="2"}'] == 0, 10)


def test_clients_that_say_nothing_keep_nobody_out(scraped: Scraped) -> None:
    silent = [scraped.connect() for _ in range(60)]
    for client in silent[::2]:
        with contextlib.suppress(ConnectionError):
            client.send(b"GET /metr")
    assert scraped.get()
    assert scraped.server.ctl("uptime")
    for client in silent:
        client.close()


def test_clients_that_do_not_read_keep_nobody_out(scraped: Scraped) -> None:
    deaf = [socket.socket() for _ in range(30)]
    for client in deaf:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        client.settimeout(PATIENCE_S)
        client.connect(("127.0.0.1", scraped.port))
        client.sendall(GET)
    assert scraped.get()
    assert scraped.server.ctl("uptime")
    for client in deaf:
        client.close()


def test_a_header_without_end_is_cut_off(scraped: Scraped) -> None:
    answer = b""
    with scraped.connect() as client, contextlib.suppress(ConnectionError):
        for _ in range(1_000):
            client.sendall(b"X-Endless: " + b"x" * 4_096)
        answer = client.recv(100)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 400 ")
    assert scraped.get()
    assert scraped.server.status() is None


def test_a_taken_address_is_said_and_costs_nobody_ctl(make_server: Callable[..., Server]) -> None:
    scraped = Scraped(lambda text: make_server(SETTINGS + text))
    with socket.socket() as other:
        other.bind(("127.0.0.1", scraped.port))
        other.listen()
        scraped.server.start()
        wait_for(lambda: "metrics not served" in scraped.server.log)
        assert scraped.server.ctl("uptime")
        assert scraped.server.stop() == 0
