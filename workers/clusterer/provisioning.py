"""Nodes from OpenSIPS' table `clusterer`: asked of the storage process, kept for the next start."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from proxy.storage.kinds import (
    Fields,
    Kind,
    Question,
    Status,
    decode_part,
    encode_question,
)
from workers.clusterer.nodes import from_rows
from workers.errands import CLUSTERER, Errand
from workers.questions import storage_mailbox

if TYPE_CHECKING:
    from workers.clusterer.process import ClustererProcess

PATIENCE_MS: Final = 2_000  # for an answer, before the question is put again
NUMBERS: Final = 0xFFFF_FFFF


class Provisioning:
    """Reads the nodes at the start, and anew when asked to."""

    def __init__(self, process: ClustererProcess) -> None:
        self._process = process
        self._in_database = process.child.config.cluster.from_database
        self._number = 0
        self._asked_at = 0
        self._wanted = self._in_database
        self._rows: list[Fields] = []
        self._waiting: list[int] = []  # orders to be answered when the rows are there
        self._began = False

    def turn(self, now: int) -> None:
        """Ask, and ask again."""
        if not self._in_database:
            return
        if not self._began:
            self._began = True
            remembered = self._process.memory.nodes
            if remembered is not None:
                self._process.set_nodes(from_rows(remembered)[0])
                self._process.orders.resume()
        if self._wanted and now >= self._asked_at + PATIENCE_MS:
            self._asked_at = now
            self._number = self._number + 1 & NUMBERS
            self._rows = []
            question = Question(Kind.NODES, CLUSTERER, self._number, [])
            storage_mailbox(self._process.child).put(encode_question(question))

    def reload(self, order: int) -> None:
        """`clusterer_reload`: answered when the database has answered."""
        if not self._in_database:
            words = "The nodes stand in the configuration file: SIGHUP takes it over"
            self._process.orders.answer(order, words)
            return
        self._waiting.append(order)
        self._wanted = True
        self._asked_at = -PATIENCE_MS

    def receive(self, message: bytes) -> bool:
        """A part of an answer; False when the message is something else."""
        if message[:1] != bytes((Errand.ANSWER,)):
            return False
        try:
            part = decode_part(message[1:])
        except ValueError:
            return True
        if part.number != self._number or not self._wanted:
            return True
        self._rows += part.rows
        if part.status != Status.ANSWERED:
            self._finish("The database does not answer: the nodes stay as they are")
        elif not part.more:
            self._take()
        return True

    def _take(self) -> None:
        process = self._process
        rows = [
            [None if each is None else each.decode("utf-8", "replace") for each in row]
            for row in self._rows
        ]
        nodes, wrong = from_rows(rows)
        for sentence in wrong:
            process.child.log.error("node not usable", reason=sentence)
        self._wanted = False
        if process.memory.nodes != rows:
            process.memory.nodes = rows
            process.memory.write()
        if self._waiting:  # an operator's wish, not this process's start
            process.orders.read_anew()
        process.set_nodes(nodes)
        process.orders.resume()
        me = process.child.config.node.id
        for cluster in process.brains:
            if process.node(cluster, me) is None:
                process.child.log.error("this node is not in the table", cluster=cluster, node=me)
        self._finish("")

    def _finish(self, failure: str) -> None:
        for order in self._waiting:
            self._process.orders.answer(order, failure)
        if self._waiting and failure:
            self._wanted = self._process.memory.nodes is None
        self._waiting = []
