"""What a cluster says of itself."""

from __future__ import annotations

from proxy.cluster import status
from proxy.cluster.messages import Kind
from tests.unit.cluster.trio import WALL, Trio, everything


def test_opensips_shapes() -> None:
    trio = Trio(3, names={1: "usrloc-contact-repl", 3: "dialog-dlg-repl"})
    brain = trio.brains[1]
    assert status.clusterer_list_cap(brain)["Capabilities"] == [
        {"name": "usrloc-contact-repl", "state": "not synced", "enabled": "yes"},
        {"name": "dialog-dlg-repl", "state": "not synced", "enabled": "yes"},
    ]
    trio.run(7000)
    brain.set_capability(3, False, trio.now)
    brain.activate("vip", trio.now, WALL + trio.now)
    assert status.clusterer_list(brain, trio.now) == {
        "cluster_id": 1,
        "Nodes": [
            {"node_id": 2, "link_state": "Up", "state": "enabled", "next_hop": "2"},
            {"node_id": 3, "link_state": "Up", "state": "enabled", "next_hop": "3"},
        ],
    }
    assert status.clusterer_list_topology(brain, trio.now) == {
        "cluster_id": 1,
        "Nodes": [
            {"node_id": 1, "Neighbours": [2, 3]},
            {"node_id": 2, "Neighbours": [1, 3]},
            {"node_id": 3, "Neighbours": [1, 2]},
        ],
    }
    assert status.clusterer_list_cap(brain)["Capabilities"] == [
        {"name": "usrloc-contact-repl", "state": "Ok", "enabled": "yes"},
        {"name": "dialog-dlg-repl", "state": "Ok", "enabled": "no"},
    ]
    assert status.clusterer_list_shtags(brain) == [{"Tag": "vip", "Cluster": 1, "State": "active"}]


def test_the_states_of_a_link() -> None:
    trio = Trio(2)
    trio.run(7000)
    trio.keep = lambda s, t, frame: (s, t) != (1, 2)
    trio.run(2500)
    brain = trio.brains[1]
    assert status.link_state(brain, brain.links[2], trio.now) == "Probe"
    assert status.clusterer_list(brain, trio.now)["Nodes"] == [
        {"node_id": 2, "link_state": "Probe", "state": "enabled", "next_hop": "none"}
    ]
    del trio.brains[2]
    trio.run(2000)
    assert status.link_state(brain, brain.links[2], trio.now) == "Down"


def test_it_explains_itself() -> None:
    trio = Trio(2)
    trio.run(7000)
    trio.keep = lambda s, t, frame: frame.kind == 10
    for number in range(5):
        trio.put(1, b"call%d" % number)
    trio.run(300)
    said = status.cluster_status(trio.brains[1], trio.now)
    (peer,) = said["peers"]  # type: ignore[misc]
    assert said["synced"] is True
    assert str(said["why"]).startswith("synced: a seed")
    assert said["records"] == 5
    assert peer["it_is_behind"] == 5
    assert peer["lag_ms"] > 200
    (other,) = status.cluster_status(trio.brains[2], trio.now)["peers"]  # type: ignore[misc]
    assert (other["state"], other["behind"]) == ("following", 5)
    trio.keep = lambda *way: True
    trio.run(2000)
    (other,) = status.cluster_status(trio.brains[2], trio.now)["peers"]  # type: ignore[misc]
    assert (other["behind"], other["equal_ms_ago"] < 500) == (0, True)


def test_a_comparison_that_fails_says_nothing_about_how_a_node_was_synced() -> None:
    trio = Trio()
    trio.run(8_000)
    brain = trio.brains[1]
    before = brain.comparison.why()
    assert before == "synced: a seed, and no node was synced"
    trio.keep = lambda source, target, frame: frame.kind not in (Kind.SNAPSHOT, Kind.SNAPSHOT_END)
    brain.compare_now(trio.now)
    trio.run(8_000)
    trio.keep = everything
    trio.run(2_000)
    assert brain.wire.tallies["snapshots_failed"] > 0
    assert brain.comparison.why() == before


def test_a_node_that_takes_nothing_of_a_peer_does_not_say_that_it_is_synced() -> None:
    trio = Trio()
    trio.run(8_000)
    brain = trio.brains[1]
    trio.skew_ms[2] = 65_000
    trio.run(500)
    trio.put(2, b"ahead", later=65_000)
    trio.run(2_000)
    assert not trio.holds(1, b"ahead")
    assert not brain.comparison.is_synced()
    assert brain.comparison.why().startswith("comparing with node 2; its versions lead our clock")
    trio.skew_ms[2] = 0
    trio.run(8_000)
    assert trio.holds(1, b"ahead")
    assert brain.comparison.why().startswith("synced: ")
    assert brain.links[2].trouble == ""
