"""Statistics under OpenSIPS' names: the shared counters, and what can be derived when asked."""

from __future__ import annotations

import time
from typing import Final

import orjson

from proxy.limits import counters
from workers.child import Child
from workers.errands import inbox_of

INCREMENTAL: Final = "incremental"
NON_INCREMENTAL: Final = "non-incremental"
ALL: Final = "all"


class Statistics:
    """Reads, lists and resets the statistics of the node."""

    def __init__(self, child: Child) -> None:
        self._child = child
        self._slots = child.tables.slots

    def values(self, wanted: list[str]) -> dict[str, int]:
        """The statistics that `wanted` names: "all", "group:", "group:name" or "name"."""
        return {name: value for name, value in self._all().items() if _is_wanted(name, wanted)}

    def kinds(self, wanted: list[str]) -> dict[str, str]:
        """Whether each statistic only ever counts up."""
        counting = set(counters.NAMES) - {counters.NAMES[gauge] for gauge in counters.GAUGES}
        return {
            name: INCREMENTAL if name in counting else NON_INCREMENTAL
            for name in self._all()
            if _is_wanted(name, wanted)
        }

    def reset(self, wanted: list[str]) -> bool:
        """Count from zero again; False when `wanted` names nothing."""
        found = [
            (column, name) for column, name in enumerate(counters.NAMES) if _is_wanted(name, wanted)
        ]
        for column, _ in found:
            if column not in counters.GAUGES:
                self._slots.reset(column)
        return bool(found or self.values(wanted))

    def _all(self) -> dict[str, int]:
        counted = dict(zip(counters.NAMES, self._slots.totals(counters.COUNT), strict=True))
        values = {**counted, **self._derived()}
        order = list(dict.fromkeys(name.partition(":")[0] for name in values))
        return dict(sorted(values.items(), key=lambda item: order.index(item[0].partition(":")[0])))

    def _derived(self) -> dict[str, int]:
        location, registrar = self._child.tables.location, self._child.config.registrar
        users, contacts = location.gauges()
        return {
            "core:timestamp": int(time.time()) - self._slots.row(0).started_at,
            "usrloc:registered_users": users,
            "usrloc:location-users": users,
            "usrloc:location-contacts": contacts,
            "registrar:max_expires": registrar.max_expires,
            "registrar:max_contacts": registrar.max_contacts,
            "registrar:default_expire": registrar.default_expires,
            "shmem:total_size": location.file_bytes,
            "shmem:used_size": location.used_bytes,
            "shmem:free_size": location.file_bytes - location.used_bytes,
            "load:processes_number": len(self._slots.live()),
            "sipherd:location_capacity": location.capacity,
            **self._dialogs(),
            **self._nodes(),
            "sipherd:inbox_used_bytes": self._waiting(),
        }

    def _waiting(self) -> int:
        """What lies in the inboxes of all workers."""
        child = self._child
        at_work = child.tables.places.at_work()
        return sum(inbox_of(child, place).used_bytes for place in at_work)

    def _dialogs(self) -> dict[str, int]:
        """What the dialog table itself says: gauges that no death can set astray."""
        table = self._child.tables.dialogs
        if table is None:
            return {}
        early, active = table.gauges()
        return {
            "dialog:active_dialogs": active,
            "dialog:early_dialogs": early,
            "sipherd:dialog_capacity": table.capacity,
        }

    def _nodes(self) -> dict[str, int]:
        """How many other nodes there are, over all clusters."""
        page = self._child.tables.cluster_status
        if page is None:
            return {}
        known = orjson.loads(page.read() or b'{"clusters": []}')
        nodes = [node for each in known["clusters"] for node in each["list"]["Nodes"]]
        up = sum(node["link_state"] == "Up" for node in nodes)
        return {
            "clusterer:clusterer_nodes": len(nodes),
            "clusterer:clusterer_nodes_up": up,
            "clusterer:clusterer_nodes_down": len(nodes) - up,
        }


def _is_wanted(name: str, wanted: list[str]) -> bool:
    group, _, rest = name.partition(":")
    return any(each in {ALL, f"{group}:", name, rest} for each in wanted)
