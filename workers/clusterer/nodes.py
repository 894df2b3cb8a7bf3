"""Which nodes there are: those of the configuration, or the rows of OpenSIPS' table `clusterer`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from proxy.cluster.membership import PRIORITY
from proxy.limits import bounds
from workers.cluster_settings import parse_cluster_url
from workers.setting_types import Endpoint
from workers.settings import Config

NO_PING_RETRIES: Final = 3  # of a node of which nothing else is said, as in OpenSIPS' table
NOT_STORED: Final = -1
SEED: Final = "seed"
COLUMNS: Final = 10


class Node(NamedTuple):
    """A node in a cluster, this one included."""

    cluster: int
    node: int
    url: Endpoint
    enabled: bool = True
    no_ping_retries: int = NO_PING_RETRIES
    priority: int = PRIORITY
    sip_addr: str = ""
    seed: bool = False
    description: str = ""
    db_id: int = NOT_STORED


def configured(config: Config) -> list[Node]:
    """The nodes that the configuration names."""
    found = []
    for member in config.cluster.clusters:
        assert config.cluster.bind is not None
        found.append(Node(member.id, config.node.id, config.cluster.bind, seed=member.seed))
        found += [Node(member.id, node, url) for node, url in member.peers.items()]
    return found


def from_rows(rows: Iterable[list[str | None]]) -> tuple[list[Node], list[str]]:
    """The nodes in the rows of a database; and a sentence for each row that is none."""
    found: dict[tuple[int, int], Node] = {}
    wrong = []
    for row in rows:
        try:
            node = _from_row(row)
        except ValueError as error:
            wrong.append(f"row {row[0] if row else '?'}: {error}")
        else:
            found[node.cluster, node.node] = node
    return list(found.values()), wrong


def _from_row(row: list[str | None]) -> Node:
    if len(row) != COLUMNS:
        raise ValueError("has other columns than the table clusterer")
    db_id, cluster, node = (_number(each) for each in row[:3])
    state, retries, priority = (_number(each) for each in row[4:7])
    if not (0 < cluster <= 65_535 and 0 < node <= bounds.NODE_ID):
        raise ValueError(f"has cluster_id {cluster} and node_id {node}")
    if not 0 < retries <= 1_000:
        raise ValueError(f"has no_ping_retries {retries}")
    return Node(
        cluster,
        node,
        parse_cluster_url(row[3]),
        enabled=state != 0,
        no_ping_retries=retries,
        priority=priority,
        sip_addr=row[7] or "",
        seed=SEED in (row[8] or "").replace(",", " ").split(),
        description=row[9] or "",
        db_id=db_id,
    )


def _number(text: str | None) -> int:
    return int(text or 0)


def silence_ms(config: Config, own: Node) -> int:
    """After how long a node is down: the setting, or what this node's row makes of it."""
    if own.db_id == NOT_STORED:
        return config.cluster.silence_ms
    return config.cluster.silence_ms * own.no_ping_retries // NO_PING_RETRIES
