"""What the clusterer says of itself: a page for `sipherd ctl`, statistics, the log."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import orjson

from proxy.cluster import status
from proxy.cluster.cluster import Cluster
from proxy.errors import ShmError
from proxy.limits import counters as ids
from workers.clusterer.capabilities import COUNTS
from workers.clusterer.memory import AGAIN_MS

if TYPE_CHECKING:
    from workers.clusterer.process import ClustererProcess

# What the bus and the brains count, and the counter it goes into.
OF_THE_BUS: Final = {
    "sent": ids.CLUSTER_FRAMES_SENT,
    "sent_bytes": ids.CLUSTER_BYTES_SENT,
    "received": ids.CLUSTER_FRAMES_RECEIVED,
    "received_bytes": ids.CLUSTER_BYTES_RECEIVED,
    "dropped_frames": ids.CLUSTER_FRAMES_DROPPED,
    "dropped_beats": ids.CLUSTER_BEATS_DROPPED,
    "bad_frames": ids.CLUSTER_BAD_FRAMES,
    "impostors": ids.CLUSTER_IMPOSTORS,
    "refused_connections": ids.CLUSTER_CONNECTIONS_REFUSED,
}
OF_A_BRAIN: Final = {
    "bad_frames": ids.CLUSTER_BAD_FRAMES,
    "stale_frames": ids.CLUSTER_STALE_FRAMES,
    "unknown_frames": ids.CLUSTER_UNKNOWN_FRAMES,
    "relayed": ids.CLUSTER_FRAMES_RELAYED,
    "resends": ids.CLUSTER_RESENDS,
    "gaps": ids.CLUSTER_GAPS,
    "records": ids.CLUSTER_RECORDS_SENT,
    "applied": ids.CLUSTER_RECORDS_APPLIED,
    "refused": ids.CLUSTER_RECORDS_REFUSED,
    "clock_leads": ids.CLUSTER_CLOCK_LEADS,
    "hellos_refused": ids.CLUSTER_HELLOS_REFUSED,
    "overruns": ids.CLUSTER_OVERRUNS,
    "snapshots": ids.CLUSTER_SNAPSHOTS,
    "snapshots_failed": ids.CLUSTER_SNAPSHOTS_FAILED,
    "repaired": ids.CLUSTER_RECORDS_REPAIRED,
}
# What somebody has to put right, and what an operator should see; the rest is for level info.
ERRORS: Final = {"node refused"}
ALARMS: Final = {"node down", "clock leads", "changes lost", "bad frame"}
NOTICES: Final = {"node up", "node removed", "synced", "sharing tag changed"}


class Report:
    """Carries what is known to where it is read."""

    def __init__(self, process: ClustererProcess) -> None:
        self._process = process
        self._counters = process.child.tables.slots.counters(process.child.slot)
        self._told: dict[int, Counter[str]] = {}
        self._write_at = 0

    def turn(self, now: int, wall: int) -> None:
        """Everything that is due a few times a second."""
        process = self._process
        self._count(0, process.bus.tallies, OF_THE_BUS)
        for number, brain in process.brains.items():
            self._count(number, brain.wire.tallies, OF_A_BRAIN)
            self._log(number, brain)
        for address in process.bus.take_refused():
            process.child.log.warning("connection refused", source=address)
        self._remember(now)
        self._show(now, wall)

    def _count(self, source: int, tallies: Counter[str], columns: dict[str, int]) -> None:
        told = self._told.setdefault(source, Counter())
        for name, column in columns.items():
            if tallies[name] != told[name]:
                self._counters.add(column, tallies[name] - told[name])
                told[name] = tallies[name]

    def _log(self, number: int, brain: Cluster) -> None:
        log = self._process.child.log
        for event, detail in brain.events():
            if event in ERRORS:
                log.error(event, cluster=number, what=detail)
            elif event in ALARMS:
                log.warning(event, cluster=number, what=detail)
            elif event in NOTICES:
                log.notice(event, cluster=number, what=detail)
            else:
                log.info(event, cluster=number, what=detail)

    def _remember(self, now: int) -> None:
        memory, brains = self._process.memory, self._process.brains
        if memory.failure and now >= self._write_at:
            self._write_at = now + AGAIN_MS
            memory.write()
        synced = sorted(number for number, brain in brains.items() if brain.comparison.baseline)
        if brains and synced != memory.synced:
            memory.synced = synced
            memory.write()

    def _show(self, now: int, wall: int) -> None:
        process = self._process
        page = process.child.tables.cluster_status
        assert page is not None
        shown: dict[str, Any] = {
            "at": wall,
            "epoch": process.memory.epoch,
            "answers": process.orders.answers,
            "clusters": [self._cluster(brain, now) for brain in process.brains.values()],
        }
        try:
            page.write(orjson.dumps(shown))
        except ShmError as error:  # more nodes than anybody has had: the rest goes on
            process.child.log.error("status too long", reason=error)

    def _cluster(self, brain: Cluster, now: int) -> dict[str, Any]:
        return {
            "status": status.cluster_status(brain, now),
            "list": self._list(brain, now),
            "topology": status.clusterer_list_topology(brain, now),
            "capabilities": self._capabilities(brain),
            "tags": status.clusterer_list_shtags(brain),
        }

    def _list(self, brain: Cluster, now: int) -> dict[str, Any]:
        """OpenSIPS' entry, with what the table says of each node; those switched off as well."""
        process = self._process
        number = brain.settings.cluster
        shown: dict[str, Any] = status.clusterer_list(brain, now)
        rows = {row["node_id"]: row for row in shown["Nodes"]}
        nodes = []
        for node in sorted(process.nodes, key=lambda each: each.node):
            if node.cluster != number or node.node == brain.settings.node:
                continue
            off = {"link_state": "Down", "state": "disabled", "next_hop": "none"}
            nodes.append(
                {
                    "node_id": node.node,
                    "db_id": node.db_id,
                    "url": f"tcp://{node.url}",
                    **off,
                    **rows.get(node.node, {}),
                    "description": node.description or "none",
                    "sip_addr": node.sip_addr or "none",
                }
            )
        return {**shown, "Nodes": nodes}

    def _capabilities(self, brain: Cluster) -> dict[str, Any]:
        shown: dict[str, Any] = status.clusterer_list_cap(brain)
        for kind in self._process.kinds(brain.settings.cluster):
            off = kind in brain.counts.disabled
            # Counts are told anew all the time: there is nothing to synchronize.
            shown["Capabilities"].append(
                {"name": COUNTS[kind], "state": "Ok", "enabled": "no" if off else "yes"}
            )
        return shown
