"""Commands about other nodes: OpenSIPS' `clusterer_*`, `ul_cluster_sync`, `dlg_cluster_sync`."""

from __future__ import annotations

import itertools
import time
from typing import Any, Final

import orjson

from proxy.shm import table_ids
from workers.child import Child
from workers.commands.command import INVALID_PARAMS, NOT_FOUND, CommandError, Group, command
from workers.errands import Errand

SERVER_ERROR: Final = 500
PATIENCE_S: Final = 8.0
STALE_S: Final = 5.0
NO_CLUSTER: Final = "This node is in no cluster: give [cluster] a bind and peers"
SILENT: Final = "The clusterer does not answer"


class Clusters(Group):
    """What this node knows of others, and what it is told to do about them."""

    def __init__(self, child: Child) -> None:
        super().__init__(child)
        self._numbers = itertools.count(time.time_ns())

    # -- what is known -----------------------------------------------------------------------------

    @command
    def cluster_status(self, cluster_id: int = 0) -> dict[str, Any]:
        """Say whether this node is synced and why, and how far it and its peers are behind."""
        known = self._known()
        shown = [each["status"] for each in known["clusters"]]
        if cluster_id:
            shown = [each for each in shown if each["cluster_id"] == cluster_id]
            if not shown:
                raise CommandError(NOT_FOUND, "Cluster not found")
        return {"Epoch": known["epoch"], "Clusters": shown}

    @command
    def clusterer_list(self) -> dict[str, Any]:
        """List the other nodes of each cluster, and the way to each."""
        return {"Clusters": self._each("list")}

    @command
    def clusterer_list_topology(self) -> dict[str, Any]:
        """List which node hears which, this one first."""
        return {"Clusters": self._each("topology")}

    @command
    def clusterer_list_cap(self) -> dict[str, Any]:
        """List what each cluster keeps equal, and whether it is."""
        return {"Clusters": self._each("capabilities")}

    @command
    def clusterer_list_shtags(self) -> list[Any]:
        """List the sharing tags, and whether this node acts for each."""
        return [tag for tags in self._each("tags") for tag in tags]

    # -- what is to be done ------------------------------------------------------------------------

    @command
    def clusterer_set_status(self, cluster_id: int, status: int, node_id: int = 0) -> str:
        """Take this node, or another as seen from here, out of a cluster (0) or back in (1)."""
        node = node_id or self._child.config.node.id
        return self._order("set_status", cluster=cluster_id, node=node, status=_flag(status))

    @command
    def clusterer_set_cap_status(self, cluster_id: int, capability: str, status: int) -> str:
        """Neither send nor take what a capability stands for (0), or do so again (1)."""
        arguments = {"cluster": cluster_id, "capability": capability, "status": _flag(status)}
        return self._order("set_cap_status", **arguments)

    @command
    def clusterer_reload(self) -> str:
        """Read the nodes anew from the table `clusterer`; those of the file come by SIGHUP."""
        return self._order("reload")

    @command
    def clusterer_remove_node(self, cluster_id: int, node_id: int) -> str:
        """Forget a node until the nodes are read anew; each node that is to forget it is told."""
        return self._order("remove_node", cluster=cluster_id, node=node_id)

    @command
    def clusterer_shtag_set_active(self, tag: str) -> str:
        """Make this node the one that acts for a sharing tag: `name` or `name/cluster_id`."""
        return self._order("activate", tag=tag)

    @command
    def ul_cluster_sync(self) -> str:
        """Compare the registered phones with the other nodes', and put right what differs."""
        return self._order("synchronize", table=table_ids.LOCATION)

    @command
    def dlg_cluster_sync(self) -> str:
        """Compare the calls with the other nodes', and put right what differs."""
        return self._order("synchronize", table=table_ids.DIALOGS)

    # -- the clusterer -----------------------------------------------------------------------------

    def _each(self, part: str) -> list[Any]:
        return [each[part] for each in self._known()["clusters"]]

    def _known(self) -> dict[str, Any]:
        page = self._child.tables.cluster_status
        if page is None:
            raise CommandError(SERVER_ERROR, NO_CLUSTER)
        text = page.read()
        known: dict[str, Any] = orjson.loads(text) if text else {"at": 0}
        if time.time() - known["at"] / 1_000 > STALE_S:
            raise CommandError(SERVER_ERROR, SILENT)
        return known

    def _order(self, name: str, **arguments: Any) -> str:
        """Leave an order with the clusterer, and wait for its answer on the page."""
        self._known()
        number = next(self._numbers)
        message = orjson.dumps({"number": number, "name": name, "arguments": arguments})
        mailbox = self._child.clusterer
        if mailbox is None or not mailbox.put(bytes((Errand.ORDER,)) + message):
            raise CommandError(SERVER_ERROR, "The clusterer has too much to do")

        def answered() -> str | None:
            refusal: str | None = self._known()["answers"].get(str(number))
            return refusal

        refusal = self._await(answered, PATIENCE_S)
        if refusal is None:
            raise CommandError(SERVER_ERROR, SILENT)
        if refusal:
            raise CommandError(_code(refusal), refusal)
        return "OK"


def _flag(status: int) -> bool:
    if status not in {0, 1}:
        raise CommandError(INVALID_PARAMS, "Invalid params: status must be 0 or 1")
    return bool(status)


def _code(refusal: str) -> int:
    return NOT_FOUND if refusal.endswith("not found") else SERVER_ERROR
