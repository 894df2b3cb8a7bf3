"""What operators want of the clusterer (`sipherd ctl`): done here, answered on its status page."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import orjson

from proxy.cluster.cluster import Cluster
from workers.clusterer.capabilities import COUNTS, TABLES
from workers.errands import Errand

if TYPE_CHECKING:
    from workers.clusterer.process import ClustererProcess

ANSWERS: Final = 32
DONE: Final = ""
REMOVE_NODE: Final = "remove_node"
# Orders that hold as long as the server runs, whatever becomes of this process. Of two about one
# thing the last word holds: an order is named by all its arguments but WORD.
STANDING: Final = {"set_status", "set_cap_status", REMOVE_NODE}
WORD: Final = "status"


class Refusal(Exception):
    """Why an order is not carried out."""


class Orders:
    """Carries out orders, one message each: a number to answer under, a name, and arguments."""

    def __init__(self, process: ClustererProcess) -> None:
        self._process = process
        self.answers: dict[str, str] = {}  # the last ones; "" means done
        self._known: dict[str, Callable[..., None]] = {
            "set_status": self._set_status,
            "set_cap_status": self._set_cap_status,
            REMOVE_NODE: self._remove_node,
            "activate": self._activate,
            "synchronize": self._synchronize,
        }

    def receive(self, message: bytes) -> None:
        """A message of the control process."""
        if message[:1] != bytes((Errand.ORDER,)):
            return
        order: dict[str, Any] = orjson.loads(message[1:])
        number: int = order["number"]
        if order["name"] == "reload":
            self._process.provisioning.reload(number)
            return
        try:
            self._known[order["name"]](**order["arguments"])
        except Refusal as refusal:
            self.answer(number, str(refusal))
        else:
            self._note(order["name"], order["arguments"])
            self.answer(number)

    def _note(self, name: str, arguments: dict[str, Any]) -> None:
        if name not in STANDING:
            return
        memory = self._process.memory
        others = [each for each in memory.standing if _thing(*each) != _thing(name, arguments)]
        memory.standing = [*others, (name, arguments)]
        memory.write()

    def resume(self) -> None:
        """Carry out again what a clusterer before this one was told."""
        for name, arguments in self._process.memory.standing:
            if name in STANDING:
                with suppress(Refusal, TypeError):
                    self._known[name](**arguments)

    def read_anew(self) -> None:
        """The nodes are those of the file or the database again: none of them is removed."""
        memory = self._process.memory
        left = [each for each in memory.standing if each[0] != REMOVE_NODE]
        if left != memory.standing:
            memory.standing = left
            memory.write()

    def answer(self, number: int, failure: str = DONE) -> None:
        """Say that it is done, or why it is not."""
        self.answers[str(number)] = failure
        while len(self.answers) > ANSWERS:
            del self.answers[next(iter(self.answers))]
        self._process.report_at = 0

    def _brain(self, cluster: int) -> Cluster:
        brain = self._process.brains.get(cluster)
        if brain is None:
            raise Refusal("Cluster not found")
        return brain

    def _set_status(self, cluster: int, node: int, status: bool) -> None:
        process = self._process
        self._brain(cluster)
        if process.node(cluster, node) is None:
            raise Refusal("Node not found")
        if status:
            process.switched_off.discard((cluster, node))
        else:
            process.switched_off.add((cluster, node))
        process.set_nodes(process.nodes)

    def _set_cap_status(self, cluster: int, capability: str, status: bool) -> None:
        brain = self._brain(cluster)
        for table in brain.settings.tables:
            if TABLES[table] == capability:
                brain.set_capability(table, status, self._process.ticked_at)
                return
        for kind in self._process.kinds(cluster):
            if COUNTS[kind] == capability:
                brain.counts.set_enabled(kind, status)
                return
        raise Refusal("Capability not found")

    def _remove_node(self, cluster: int, node: int) -> None:
        process = self._process
        self._brain(cluster)
        if node == process.child.config.node.id:
            raise Refusal("This node cannot remove itself")
        if process.node(cluster, node) is None:
            raise Refusal("Node not found")
        left = [each for each in process.nodes if (each.cluster, each.node) != (cluster, node)]
        process.set_nodes(left)

    def _activate(self, tag: str) -> None:
        name, _, cluster = tag.partition("/")
        found = [
            brain
            for number, brain in self._process.brains.items()
            if name in brain.tags.names and cluster in {"", str(number)}
        ]
        if not found:
            raise Refusal("Sharing tag not found")
        self._process.activate(found[0], name)

    def _synchronize(self, table: int) -> None:
        found = [b for b in self._process.brains.values() if table in b.settings.tables]
        if not found:
            raise Refusal("No cluster of this node has it in its contents")
        reached = [brain.compare_now(self._process.ticked_at) for brain in found]
        if not any(reached):
            raise Refusal("No other node can be reached")


def _thing(name: str, arguments: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    return name, {key: value for key, value in arguments.items() if key != WORD}
