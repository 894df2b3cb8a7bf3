"""What a cluster says of itself, in OpenSIPS' shapes where it has them, and in sentences."""

from __future__ import annotations

from proxy.cluster.cluster import Cluster
from proxy.cluster.link import Link, State

Shape = dict[str, object]


def link_state(cluster: Cluster, link: Link, now: int) -> str:
    """OpenSIPS' word for the way to a peer."""
    if link.next_hop:
        return "Up"
    return "Probe" if cluster.membership.hears(link.peer, now) else "Down"


def clusterer_list(cluster: Cluster, now: int) -> Shape:
    """One entry of clusterer_list: the peers, ourselves not among them."""
    return {
        "cluster_id": cluster.settings.cluster,
        "Nodes": [
            {
                "node_id": peer,
                "link_state": link_state(cluster, link, now),
                "state": "enabled" if cluster.membership.is_enabled(peer) else "disabled",
                "next_hop": str(link.next_hop) if link.next_hop else "none",
            }
            for peer, link in cluster.links.items()
        ],
    }


def clusterer_list_topology(cluster: Cluster, now: int) -> Shape:
    """One entry of clusterer_list_topology: ourselves first, then each peer as it told."""
    nodes: list[Shape] = [
        {
            "node_id": cluster.settings.node,
            "Neighbours": [node for node, mutual in cluster.membership.neighbours(now) if mutual],
        }
    ]
    for peer, known in cluster.membership.peers.items():
        heard = known.beat.neighbours if known.beat and cluster.membership.hears(peer, now) else ()
        nodes.append({"node_id": peer, "Neighbours": [node for node, mutual in heard if mutual]})
    return {"cluster_id": cluster.settings.cluster, "Nodes": nodes}


def clusterer_list_cap(cluster: Cluster) -> Shape:
    """One entry of clusterer_list_cap."""
    synced = cluster.comparison.is_synced()
    return {
        "cluster_id": cluster.settings.cluster,
        "Capabilities": [
            {
                "name": cluster.settings.names.get(table, str(table)),
                "state": "Ok" if synced else "not synced",
                "enabled": "no" if table in cluster.replication.disabled else "yes",
            }
            for table in sorted(cluster.settings.tables)
        ],
    }


def clusterer_list_shtags(cluster: Cluster) -> list[Shape]:
    """The sharing tags."""
    return [
        {"Tag": name, "Cluster": cluster.settings.cluster, "State": cluster.tags.state(name)}
        for name in cluster.tags.names
    ]


def cluster_status(cluster: Cluster, now: int) -> Shape:
    """What operators ask most: synced or not and why, how far behind, what was repaired."""
    replication = cluster.replication
    last = dict(cluster.comparison.last)
    if last:
        last["seconds_ago"] = (now - last.pop("at")) // 1000
    return {
        "cluster_id": cluster.settings.cluster,
        "node_id": cluster.settings.node,
        "enabled": cluster.enabled,
        "synced": cluster.comparison.is_synced(),
        "why": cluster.comparison.why(),
        "records": replication.digests.count,
        "tombstones": replication.digests.tombstones,
        "digest": f"{replication.digests.root:016x}",
        "last_repair": last,
        "frames": dict(sorted(cluster.wire.tallies.items())),
        "peers": [_peer(cluster, link, now) for link in cluster.links.values()],
    }


def _peer(cluster: Cluster, link: Link, now: int) -> Shape:
    known = cluster.membership.peers[link.peer]
    following = link.following
    sending = link.sending
    told = known.beat.position if known.beat else 0
    return {
        "node_id": link.peer,
        "state": following.state.name.lower(),
        "next_hop": link.next_hop,
        "heard_ms_ago": now - known.heard_at if known.beat else None,
        "clock_offset_ms": known.offset_ms,
        # Changes the peer has made and we have not taken; ours that it has not acknowledged.
        "behind": max(0, told - following.position) if following.state > State.DOWN else None,
        "it_is_behind": cluster.replication.backlog.head - sending.acked
        if sending.started
        else None,
        "lag_ms": max(0, now - sending.progress_at) if sending.under_way else 0,
        "equal_ms_ago": now - link.verified_at if link.verified_at >= 0 else None,
        "trouble": link.trouble,
    }
