"""Two real servers that tell each other what they know, and what happens when one misbehaves."""

from __future__ import annotations

import os
import random
import re
import signal
import socket
import sqlite3
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import zmq
from process_harness import SETTINGS, Server, wait_for

from proxy.cluster.frames import Frame, encode
from proxy.cluster.messages import Beat, Hello, Kind
from proxy.cluster.wire import BEAT, DATA
from workers.clusterer.bus import Bus
from workers.setting_types import Endpoint

pytestmark = pytest.mark.compiled
Make = Callable[..., Server]

HEAD = """
[node]
id = NODE
secret = "0123456789abcdef"
domains = ["example.com"]
"""
CLUSTER = """
[cluster]
bind = "tcp://127.0.0.NODE:CLUSTER_PORT"
beat_ms = 50
silence_ms = 500
seed_fallback_interval = 0
tags = { vip = "backup" }
"""


def free_port() -> int:
    """A port whose next one is free as well."""
    for _ in range(50):
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = int(first.getsockname()[1])
            with suppress(OSError, OverflowError):
                second.bind(("127.0.0.1", port + 1))
                return port
    raise AssertionError("no two ports in a row are free")


class Pair:
    """Makes nodes of one cluster; `more` is what [cluster] says besides."""

    def __init__(self, make: Make) -> None:
        self.make = make
        self.port = free_port()

    def node(self, number: int, peers: str, more: str = "insecure = true") -> Server:
        text = SETTINGS.replace('[node]\nruntime_dir = "var"', HEAD.strip())
        text += CLUSTER + f"peers = {{ {peers} }}\nseed = {str(number == 1).lower()}\n{more}\n"
        text = text.replace("CLUSTER_PORT", str(self.port)).replace("NODE", str(number))
        return self.make(text, "sip")

    def url(self, number: int) -> str:
        return f'{number} = "tcp://127.0.0.{number}:{self.port}"'


@pytest.fixture
def pair(make_server: Make) -> Pair:
    return Pair(make_server)


@pytest.fixture
def two(pair: Pair) -> tuple[Server, Server]:
    return both(pair.node(1, pair.url(2)), pair.node(2, pair.url(1)))


def both(one: Server, other: Server) -> tuple[Server, Server]:
    one.start()
    other.start()
    wait_for(lambda: status(one)["synced"] and status(other)["synced"], 20)
    return one, other


def status(server: Server) -> dict[str, Any]:
    found: list[dict[str, Any]] = server.ctl("cluster_status")["Clusters"]
    return found[0] if found else {"synced": False, "digest": "", "records": 0}


def peer_of(server: Server) -> dict[str, Any]:
    """The other node as the first one of a pair lists it."""
    found: dict[str, Any] = server.ctl("clusterer_list")["Clusters"][0]["Nodes"][0]
    return found


def statistic(server: Server, name: str) -> int:
    return int(server.ctl("get_statistics", [f"sipherd:cluster_{name}"])[f"sipherd:cluster_{name}"])


def register(server: Server, user: str, cseq: int = 1, expires: int = 600) -> bytes:
    with server.client() as phone:
        port = phone.getsockname()[1]
        phone.send(
            f"REGISTER sip:example.com SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bK{user}{cseq}\r\n"
            f"From: <sip:{user}@example.com>;tag=1\r\nTo: <sip:{user}@example.com>\r\n"
            f"Call-ID: {user}\r\nCSeq: {cseq} REGISTER\r\nMax-Forwards: 70\r\n"
            f"Contact: <sip:{user}@127.0.0.1:5999>\r\nExpires: {expires}\r\n"
            f"Content-Length: 0\r\n\r\n".encode()
        )
        answer = phone.recv(4_096)
    assert answer.startswith(b"SIP/2.0 200"), answer
    return answer


def knows(server: Server, user: str) -> bool:
    return any(row["AOR"].startswith(f"{user}@") for row in phones(server))


def phones(server: Server) -> list[dict[str, Any]]:
    domains = server.ctl("ul_dump")["Domains"]
    return [row for domain in domains for row in domain["AORs"]]


def are_equal(one: Server, other: Server) -> bool:
    first, second = status(one), status(other)
    return bool(first["digest"] == second["digest"] and first["synced"] and second["synced"])


def test_what_is_registered_at_one_is_known_at_the_other(two: tuple[Server, Server]) -> None:
    one, other = two
    register(one, "alice")
    register(other, "bob")
    wait_for(lambda: knows(other, "alice") and knows(one, "bob"))
    register(one, "bob", 2)
    wait_for(lambda: are_equal(one, other))
    wait_for(lambda: statistic(other, "records_applied") == 2)
    assert one.ctl("get_statistics", ["clusterer:"]) == {
        "clusterer:clusterer_nodes": 1,
        "clusterer:clusterer_nodes_up": 1,
        "clusterer:clusterer_nodes_down": 0,
    }
    assert one.stop() == 0
    assert "node down" in wait_for(lambda: other.log if "node down" in other.log else "")


def test_a_killed_clusterer_goes_on_with_nothing_lost(two: tuple[Server, Server]) -> None:
    one, other = two
    for number in range(40):
        register(one, f"u{number}")
        if number in (10, 20, 30):
            os.kill((other if number == 20 else one).children()["clusterer"], signal.SIGKILL)
    wait_for(lambda: len(phones(other)) == 40 and are_equal(one, other), 15)
    wait_for(lambda: status(one)["records"] == 40)


def test_a_node_that_was_away_gets_what_it_missed(two: tuple[Server, Server]) -> None:
    one, other = two
    register(one, "alice")
    wait_for(lambda: knows(other, "alice"))
    other.stop()
    register(one, "bob")
    other.start()
    wait_for(lambda: knows(other, "bob") and knows(other, "alice") and are_equal(one, other), 15)
    epochs = [int(each) for each in re.findall(r'"epoch":(\d+)', memory(other))]
    assert epochs[0] <= other.ctl("cluster_status")["Epoch"]


def memory(server: Server) -> str:
    return (server.runtime / "cluster.json").read_text()


def test_only_with_the_right_keys(pair: Pair, tmp_path: Path) -> None:
    pairs = [zmq.curve_keypair() for _ in range(3)]
    for number, (_, secret) in enumerate(pairs, 1):
        (tmp_path / f"{number}.key").write_bytes(secret)
        (tmp_path / f"{number}.key").chmod(0o600)

    def keys(own: int, peer: int) -> str:
        public = pairs[peer - 1][0].decode()
        file = tmp_path / f"{own}.key"
        return f'key_file = "{file}"\npeer_keys = {{ {2 if own != 2 else 1} = "{public}" }}'

    stranger = pair.node(1, pair.url(2), keys(3, 2)).start()
    two = pair.node(2, pair.url(1), keys(2, 1)).start()
    wait_for(lambda: statistic(two, "connections_refused") > 0, 10)
    assert "connection refused source=127.0.0.1" in wait_for(
        lambda: two.log if "connection refused" in two.log else ""
    )
    register(stranger, "mallory")
    assert peer_of(stranger)["link_state"] == "Down"
    assert stranger.stop() == 0
    one = pair.node(1, pair.url(2), keys(1, 2)).start()
    register(one, "alice")
    wait_for(lambda: knows(two, "alice"), 10)
    assert not knows(two, "mallory")


# -- commands -------------------------------------------------------------------------------------


def test_operators(two: tuple[Server, Server]) -> None:
    one, other = two
    assert one.ctl("clusterer_list_topology")["Clusters"][0]["Nodes"] == [
        {"node_id": 1, "Neighbours": [2]},
        {"node_id": 2, "Neighbours": [1]},
    ]
    assert [each["name"] for each in capabilities(one)] == [
        "usrloc-contact-repl",
        "ratelimit-pipe-repl",
    ]
    assert one.ctl("clusterer_shtag_set_active", "vip/1") == "OK"
    assert one.ctl("clusterer_list_shtags") == [{"Tag": "vip", "Cluster": 1, "State": "active"}]
    assert other.ctl("clusterer_shtag_set_active", "vip") == "OK"
    wait_for(lambda: one.ctl("clusterer_list_shtags")[0]["State"] == "backup")
    assert one.ctl("ul_cluster_sync") == "OK"

    assert one.ctl("clusterer_set_cap_status", 1, "usrloc-contact-repl", 0) == "OK"
    assert capabilities(one)[0]["enabled"] == "no"
    register(one, "alice")
    register(other, "bob")
    assert one.ctl("clusterer_set_cap_status", 1, "usrloc-contact-repl", 1) == "OK"
    wait_for(lambda: knows(other, "alice") and knows(one, "bob"), 10)

    assert one.ctl("clusterer_set_status", 1, 0) == "OK"
    register(one, "carol")
    wait_for(lambda: peer_of(other)["state"] == "disabled")
    assert one.ctl("clusterer_set_status", 1, 1) == "OK"
    wait_for(lambda: knows(other, "carol"), 10)


def capabilities(server: Server) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = server.ctl("clusterer_list_cap")["Clusters"][0]["Capabilities"]
    return found


def test_nodes_come_and_go(two: tuple[Server, Server]) -> None:
    one, other = two
    assert one.ctl("clusterer_remove_node", 1, 2) == "OK"
    assert one.ctl("clusterer_list")["Clusters"][0]["Nodes"] == []
    wait_for(lambda: statistic(one, "impostors") > 0)  # it is nobody any more
    register(one, "alice")
    assert not knows(other, "alice")
    assert one.ctl("clusterer_reload") == "OK"  # the file has it still
    wait_for(lambda: knows(other, "alice"), 10)
    one.file.write_text(one.file.read_text().replace("peers = {", "peers = { 2 = 5,"))
    refused = refusal(one, "clusterer_reload")
    assert "is no tcp URL" in refused or "this is not TOML" in refused
    assert peer_of(one)["link_state"] == "Up"


@pytest.mark.parametrize(
    ("method", "values", "words"),
    [
        ("clusterer_shtag_set_active", ["none/1"], "Sharing tag not found"),
        ("clusterer_shtag_set_active", ["vip/7"], "Sharing tag not found"),
        ("clusterer_set_status", [7, 0], "Cluster not found"),
        ("clusterer_set_status", [1, 0, 9], "Node not found"),
        ("clusterer_set_status", [1, 2], "status must be 0 or 1"),
        ("clusterer_set_cap_status", [1, "x", 0], "Capability not found"),
        ("clusterer_remove_node", [1, 1], "cannot remove itself"),
        ("cluster_status", [7], "Cluster not found"),
        ("dlg_cluster_sync", [], "No cluster of this node has it"),
        ("ul_cluster_sync", [], "No other node can be reached"),
    ],
)
def test_refusals(lonely: Server, method: str, values: list[Any], words: str) -> None:
    assert words in refusal(lonely, method, *values)


@pytest.fixture(scope="module")
def lonely(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A node whose only peer is not there."""
    folder = tmp_path_factory.mktemp("lonely")
    pair = Pair(lambda settings, worker: Server(folder, settings, worker))
    server = pair.node(1, pair.url(2)).start()
    yield server
    server.cleanup()


def refusal(server: Server, method: str, *values: Any) -> str:
    with pytest.raises(AssertionError) as caught:
        server.ctl(method, *values)
    return str(caught.value)


def test_a_node_alone_says_so(make_server: Make) -> None:
    server = make_server().start()
    assert "is in no cluster" in refusal(server, "cluster_status")
    assert "clusterer" not in server.children()


def test_nodes_of_a_database(pair: Pair, make_server: Make, tmp_path: Path) -> None:
    database = tmp_path / "nodes.db"
    rows = [
        (1, 1, 1, f"bin:127.0.0.1:{pair.port}", 1, "seed"),
        (2, 1, 2, f"bin:127.0.0.2:{pair.port}", 1, None),
        (3, 1, 3, "nonsense", 1, None),
        (4, 2, 9, "bin:127.0.0.9:1", 1, None),
    ]
    with sqlite3.connect(database) as connection:
        connection.execute(
            "CREATE TABLE clusterer (id INTEGER PRIMARY KEY, cluster_id INT, node_id INT, url TEXT,"
            " state INT, no_ping_retries INT DEFAULT 3, priority INT DEFAULT 50, sip_addr TEXT,"
            " flags TEXT, description TEXT)"
        )
        connection.executemany(
            "INSERT INTO clusterer (id, cluster_id, node_id, url, state, flags)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            rows,
        )
    connection.close()
    more = f'insecure = true\nfrom_database = true\n[storage]\nurls = ["sqlite:///{database}"]'
    one, other = pair.node(1, "", more), pair.node(2, "", more)
    for server in (one, other):
        server.file.write_text(server.file.read_text().replace("peers = {  }\n", ""))
    both(one, other)
    register(one, "alice")
    wait_for(lambda: knows(other, "alice"))
    assert "node not usable" in one.log
    (node,) = one.ctl("clusterer_list")["Clusters"][0]["Nodes"]
    assert (node["node_id"], node["db_id"], node["link_state"]) == (2, 2, "Up")

    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE clusterer SET state = 0 WHERE node_id = 2")
    connection.close()
    assert one.ctl("clusterer_reload") == "OK"
    assert peer_of(one)["state"] == "disabled"
    one.stop()
    database.rename(tmp_path / "away.db")
    one.start()  # with the nodes as they were when the database was last there
    wait_for(lambda: one.ctl("clusterer_list")["Clusters"], 10)
    assert peer_of(one)["state"] == "disabled"


# -- hostile and silent peers ---------------------------------------------------------------------


class Forger:
    """Node 3 of a cluster: it is on the list, and says what it likes."""

    def __init__(self, port: int) -> None:
        self.bus = Bus(3, Endpoint("127.0.0.3", port), None)
        self.bus.set_peers({1: Endpoint("127.0.0.1", port)}, {})

    def send(self, data: bytes, channel: int = DATA) -> None:
        def sent() -> bool:
            self.bus.admit()
            self.bus.receive(100)
            return self.bus.send(1, channel, data)

        wait_for(sent)

    def say(self, kind: int, body: bytes, epoch: int = 1_000, sequence: int = 1) -> bytes:
        data = encode(Frame(kind, 1, 3, 1, epoch, sequence, body))
        self.send(data, BEAT if kind == Kind.BEAT else DATA)
        return data


def test_a_hostile_node_changes_nothing(pair: Pair) -> None:
    one = pair.node(1, f"{pair.url(2)}, {pair.url(3)}").start()
    other = pair.node(2, f"{pair.url(1)}, {pair.url(3)}").start()
    wait_for(lambda: status(one)["synced"] and status(other)["synced"], 20)
    register(one, "alice")
    wait_for(lambda: status(other)["records"] == 1 and are_equal(one, other))
    before, pid = status(one)["digest"], one.children()["clusterer"]
    forger = Forger(pair.port)
    chance = random.Random(5)
    beat = Beat(0, 0, 0, 0, True, False, 0, True, ((1, True),), (("vip", 1 << 60, 3),)).encode()
    good = forger.say(Kind.BEAT, beat)
    hello = Hello(1, 0, 0, 0, (1, 3)).encode()
    seen = [good, forger.say(Kind.HELLO, hello)]
    for kind in range(256):
        forger.say(kind, chance.randbytes(chance.choice((0, 1, 8, 40, 400, 5_000))))
    for _ in range(500):
        data = bytearray(chance.choice(seen))
        for _ in range(chance.choice((1, 1, 2, 8))):
            data[chance.randrange(len(data))] = chance.randrange(256)
        forger.send(bytes(data))
    for length in (2**32 - 1, 2**31, 65_536):
        forger.say(Kind.DATA, struct.pack("<QI", 0, length))  # as many records
        forger.say(Kind.DATA, struct.pack("<QIIBBHI", 0, 1, length, 1, 0, 65_535, length))
        forger.say(Kind.SYNC_ASK, struct.pack("<QH", 1, 4_096) + bytes(8))
    forger.say(Kind.BEAT, beat, epoch=2_000)
    for data in seen:
        forger.send(data)  # replayed, of an epoch that is over
    wait_for(lambda: statistic(one, "stale_frames") >= 2 and statistic(one, "bad_frames") > 300)
    assert statistic(one, "impostors") >= 1
    assert statistic(one, "unknown_frames") > 200
    forger.bus.close()
    assert status(one)["digest"] == before
    assert one.children()["clusterer"] == pid
    assert one.ctl("clusterer_list_shtags")[0]["State"] == "backup"
    register(one, "bob")
    wait_for(lambda: knows(other, "bob"), 10)
    assert one.ctl("get_statistics", ["sipherd:restarts"]) == {"sipherd:restarts": 0}


def test_a_frozen_node_costs_no_memory_and_no_registration(two: tuple[Server, Server]) -> None:
    one, other = two
    register(one, "first")
    wait_for(lambda: knows(other, "first"))
    frozen = other.children()["clusterer"]
    before = resident_kb(one.children()["clusterer"])
    # Its supervisor must not end it for its silence: it sleeps as well.
    other.signal(signal.SIGSTOP)
    os.kill(frozen, signal.SIGSTOP)
    try:
        for number in range(300):
            register(one, f"u{number}")
        wait_for(lambda: peer_of(one)["link_state"] == "Down")
        for number in range(300):
            register(one, f"u{number}", 2)
        assert resident_kb(one.children()["clusterer"]) - before < 20_000
    finally:
        os.kill(frozen, signal.SIGCONT)
        other.signal(signal.SIGCONT)
    wait_for(lambda: len(phones(other)) == 301 and are_equal(one, other), 15)


def resident_kb(pid: int) -> int:
    (line,) = re.findall(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(line)
