"""Two real servers that tell each other what they know, and what happens when one misbehaves."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import zmq
from cluster_harness import (
    Make,
    Pair,
    are_equal,
    both,
    clusterer,
    knows,
    peer_of,
    phones,
    register,
    statistic,
    status,
)
from process_harness import Server, wait_for

pytestmark = pytest.mark.compiled


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
            os.kill(clusterer(other if number == 20 else one), signal.SIGKILL)
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
        "destination-status-repl",
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


def test_what_operators_switched_off_stays_off_when_the_clusterer_dies(
    two: tuple[Server, Server],
) -> None:
    one, other = two
    assert one.ctl("clusterer_set_cap_status", 1, "ratelimit-pipe-repl", 0) == "OK"
    assert one.ctl("clusterer_set_cap_status", 1, "usrloc-contact-repl", 0) == "OK"
    assert one.ctl("clusterer_set_cap_status", 1, "usrloc-contact-repl", 1) == "OK"
    assert one.ctl("clusterer_set_status", 1, 0) == "OK"
    assert other.ctl("clusterer_remove_node", 1, 1) == "OK"
    replace_clusterer(one)
    assert not status(one)["enabled"]
    assert [each["name"] for each in capabilities(one) if each["enabled"] == "no"] == [
        "ratelimit-pipe-repl"
    ]
    replace_clusterer(other)
    assert other.ctl("clusterer_list")["Clusters"][0]["Nodes"] == []
    other.signal(signal.SIGHUP)
    wait_for(lambda: other.ctl("clusterer_list")["Clusters"][0]["Nodes"], 10)
    one.stop()
    one.start()  # a new server begins as its file says
    assert wait_for(lambda: status(one)["synced"], 10)
    assert all(each["enabled"] == "yes" for each in capabilities(one))


def replace_clusterer(server: Server) -> None:
    before = server.children()["clusterer"]
    epoch = server.ctl("cluster_status")["Epoch"]
    os.kill(before, signal.SIGKILL)
    wait_for(lambda: server.ctl("cluster_status")["Epoch"] > epoch, 10)


def test_a_full_disk_does_not_stop_the_clusterer(two: tuple[Server, Server]) -> None:
    one, other = two
    beside = one.runtime / "cluster.new"
    beside.mkdir()  # nothing can be written there any more
    before = memory(one)
    replace_clusterer(one)
    register(one, "alice")
    wait_for(lambda: knows(other, "alice") and are_equal(one, other), 10)
    assert one.log.count("cluster file not written") == 1
    assert memory(one) == before
    beside.rmdir()
    wait_for(lambda: memory(one) != before, 10)
    assert f'"epoch":{one.ctl("cluster_status")["Epoch"]}' in memory(one)
    assert one.ctl("get_statistics", ["sipherd:restarts"]) == {"sipherd:restarts": 1}


def test_a_file_that_makes_no_sense_is_begun_anew(two: tuple[Server, Server]) -> None:
    one, other = two
    one.stop()
    written = orjson.loads(memory(one))
    nonsense = {"epoch": 2**64 - 1, "synced": 1, "nodes": [[[]]], "standing": [7, ["x"]]}
    (one.runtime / "cluster.json").write_bytes(orjson.dumps({**written, **nonsense}))
    one.start()
    register(other, "alice")
    wait_for(lambda: knows(one, "alice") and are_equal(one, other), 15)
    assert one.ctl("get_statistics", ["sipherd:restarts"]) == {"sipherd:restarts": 0}


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
    one.signal(signal.SIGHUP)  # the file has it still
    wait_for(lambda: knows(other, "alice"), 15)
    one.file.write_text(one.file.read_text().replace(pair_url(one, 2), ""))
    one.signal(signal.SIGHUP)
    wait_for(lambda: "[cluster] needs peers" in one.log)
    wait_for(lambda: '"Up"' in json.dumps(one.ctl("clusterer_list")))
    assert one.ctl("get_statistics", ["sipherd:restarts"]) == {"sipherd:restarts": 0}


def pair_url(server: Server, number: int) -> str:
    (found,) = re.findall(rf'{number} = "tcp:[^"]*"', server.file.read_text())
    return str(found)


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
        ("clusterer_reload", [], "SIGHUP takes it over"),
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


def test_two_clusters_over_one_bus(pair: Pair) -> None:
    """Nodes 1 and 2 share phones; all three share limits."""

    def further(*peers: int) -> str:
        urls = ", ".join(pair.url(number) for number in peers)
        return (
            "insecure = true\n[[cluster.further]]\nid = 9\nseed = true\n"
            f'contents = ["limits"]\npeers = {{ {urls} }}'
        )

    one = pair.node(1, pair.url(2), further(2, 3)).start()
    two = pair.node(2, pair.url(1), further(1, 3)).start()
    alone = 'insecure = true\nid = 9\ncontents = ["limits"]'
    three = pair.node(3, f"{pair.url(1)}, {pair.url(2)}", alone).start()
    wait_for(lambda: all_synced(one, 2) and all_synced(two, 2) and all_synced(three, 1), 20)
    register(one, "alice")
    wait_for(lambda: knows(two, "alice"))
    assert not knows(three, "alice")
    lists = {each["cluster_id"]: each["Capabilities"] for each in one_list(one)}
    assert [each["name"] for each in lists[9]] == ["ratelimit-pipe-repl"]
    assert "usrloc-contact-repl" in [each["name"] for each in lists[1]]
    assert statistic(three, "records_applied") == 0


def all_synced(server: Server, clusters: int) -> bool:
    found = server.ctl("cluster_status")["Clusters"]
    return len(found) == clusters and all(each["synced"] for each in found)


def one_list(server: Server) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = server.ctl("clusterer_list_cap")["Clusters"]
    return found


def test_nodes_with_other_secrets_refuse_each_other(make_server: Make) -> None:
    pair = Pair(make_server)
    one = pair.node(1, pair.url(2)).start()
    pair.secret = "fedcba9876543210"
    other = pair.node(2, pair.url(1)).start()
    words = "its [node] secret is another one than ours"
    for server in (one, other):
        wait_for(lambda server=server: words in status(server)["why"], 20)
        assert not status(server)["synced"]
        wait_for(lambda server=server: "node refused" in server.log)
        wait_for(lambda server=server: statistic(server, "hellos_refused") > 0)
        assert pair.secret not in server.log
