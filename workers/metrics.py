"""Prometheus metrics, read from shared memory when asked for: the packet path pays nothing.

Every statistic is there under its name in `get_statistics`: `core:rcv_requests` is
`sipherd_core_rcv_requests_total`, and what is no counter has no `_total`. What has no such name
follows as rows of tables: a family, its help, and where its samples come from.
"""

from __future__ import annotations

import platform
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import orjson
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from workers.child import Child
from workers.message_metrics import drops, messages, times
from workers.statistics import ALL, INCREMENTAL, Statistics
from workers.version import VERSION

Value = float | bool | None  # None: there is nothing to say just now
Row = dict[str, Any]
Column = tuple[str, str, Callable[[Row], Value]]

PREFIX: Final = "sipherd"
NOT_IN_A_NAME: Final = re.compile(r"[^a-zA-Z0-9_]")

# Of one row of `db_status`, `cluster_status` and a cluster's peers.
DATABASE: Final[tuple[Column, ...]] = (
    ("up", "Whether the database answers.", lambda row: row["state"] == "up"),
    ("in_use", "Whether the database is written to.", lambda row: row["in_use"]),
    ("current", "Whether everything is written there.", lambda row: row["current"]),
    ("pending", "Records that are yet to be written.", lambda row: row["pending"]),
)
CLUSTER: Final[tuple[Column, ...]] = (
    ("synced", "Whether this node has everything.", lambda row: row["synced"]),
    ("records", "Records that the cluster keeps equal.", lambda row: row["records"]),
    ("tombstones", "Removed records that are remembered.", lambda row: row["tombstones"]),
)
PEER: Final[tuple[Column, ...]] = (
    ("up", "Whether there is a way to the node.", lambda row: bool(row["next_hop"])),
    ("lag_seconds", "Since when it acknowledges nothing.", lambda row: row["lag_ms"] / 1_000),
    ("unsent", "Changes it has not acknowledged.", lambda row: row["it_is_behind"]),
    ("unseen", "Its changes that are not taken yet.", lambda row: row["behind"]),
    ("clock_offset_seconds", "Its clock less ours.", lambda row: _seconds(row["clock_offset_ms"])),
    ("heard_seconds_ago", "Since its last beat.", lambda row: _seconds(row["heard_ms_ago"])),
)


def metric_name(statistic: str) -> str:
    """The name of a statistic without the ending of counters; our own group is the prefix."""
    group, _, name = statistic.partition(":")
    words = (PREFIX, name) if group == PREFIX else (PREFIX, group, name)
    return NOT_IN_A_NAME.sub("_", "_".join(words))


class NodeMetrics(Collector):
    """Everything that can be said of this node."""

    def __init__(self, child: Child) -> None:
        self._child = child
        self._statistics = Statistics(child)
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def text(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """The families, read now."""
        yield from self._counted()
        yield from messages(self._child.tables.slots)
        yield from times(self._child.tables.slots)
        yield drops(self._child.config.listen.udp)
        yield from self._processes()
        yield from self._workers()
        yield from self._profiles()
        yield from self._databases()
        yield from self._clusters()
        build = {"version": VERSION, "python": platform.python_version()}
        yield _gauge("build_info", "Which program this is.", [(build, 1)])

    def describe(self) -> Iterable[Metric]:
        """Nothing before it is asked for: reading takes time."""
        return []

    def _counted(self) -> Iterator[Metric]:
        kinds = self._statistics.kinds([ALL])
        for name, value in self._statistics.values([ALL]).items():
            family = CounterMetricFamily if kinds[name] == INCREMENTAL else GaugeMetricFamily
            yield family(metric_name(name), f"The statistic {name}.", value=value)

    def _processes(self) -> Iterator[Metric]:
        area = self._child.area
        rows = [({"process": row.role}, row) for row in self._child.tables.slots.live()]
        yield _gauge(
            "process_starts",
            "How often a process in this place was started; above 1 it was replaced.",
            [(label, row.starts) for label, row in rows],
        )
        yield _gauge(
            "process_started_at_seconds",
            "When the process was started, in Unix time.",
            [(label, row.started_at) for label, row in rows],
        )
        yield _gauge(
            "process_edition",
            "The edition of the configuration that a process serves by.",
            [(label, area.active(row.row)) for label, row in rows],
        )
        holds = area.holds
        yield _gauge("configuration_edition", "The edition that holds.", [({}, holds)])

    def _workers(self) -> Iterator[Metric]:
        """By generation: how many there are, and what those have under way that drain."""
        places = self._child.tables.places
        generations = Counter(places.generation(place) for place in places.at_work())
        calls = Counter(dict.fromkeys(generations, 0))
        for place in places.at_work():
            calls[places.generation(place)] += places.live(place)
        for name, what, found in (
            ("workers", "Workers of a generation that serve calls, all or some.", generations),
            ("draining_calls", "What its workers have under way, once they drain.", calls),
        ):
            yield _gauge(
                name, what, [({"generation": str(each)}, value) for each, value in found.items()]
            )

    def _profiles(self) -> Iterator[Metric]:
        table, settings = self._child.tables.profiles, self._child.config.dialog
        if table is None:
            return
        sizes = {name.encode(): 0 for name in (*settings.profiles, *settings.profiles_no_value)}
        for key, own, others in table.counts(b"", int(time.time())):  # one walk, however many
            name = key.partition(b"\0")[0]
            sizes[name] = sizes.get(name, 0) + own + others
        samples = [({"profile": name.decode()}, size) for name, size in sizes.items()]
        yield _gauge("profile_dialogs", "Calls in a profile, with any value.", samples)

    def _databases(self) -> Iterator[Metric]:
        text = self._child.tables.storage.read()
        if not self._child.config.uses_storage or not text:
            return
        rows = [({"database": row["url"]}, row) for row in orjson.loads(text)["databases"]]
        yield from _families("database", DATABASE, rows)

    def _clusters(self) -> Iterator[Metric]:
        page = self._child.tables.cluster_status
        text = page.read() if page is not None else b""
        if not text:
            return
        known = orjson.loads(text)
        age = max(0.0, time.time() - known["at"] / 1_000)
        yield _gauge("cluster_report_age_seconds", "Since the clusterer said this.", [({}, age)])
        rows = [
            ({"cluster": str(each["status"]["cluster_id"])}, each["status"])
            for each in known["clusters"]
        ]
        yield from _families("cluster", CLUSTER, rows)
        peers = [
            ({**label, "node": str(peer["node_id"])}, peer)
            for label, row in rows
            for peer in row["peers"]
        ]
        yield from _families("peer", PEER, peers)


def _families(
    group: str, columns: tuple[Column, ...], rows: list[tuple[dict[str, str], Row]]
) -> Iterator[Metric]:
    for name, what, value_of in columns:
        yield _gauge(f"{group}_{name}", what, [(label, value_of(row)) for label, row in rows])


def _gauge(name: str, what: str, samples: Iterable[tuple[dict[str, str], Value]]) -> Metric:
    family = Metric(f"{PREFIX}_{name}", what, "gauge")
    for labels, value in samples:
        if value is not None:
            family.add_sample(family.name, labels, float(value))
    return family


def _seconds(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1_000
