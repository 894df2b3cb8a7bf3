"""What a worker asks the storage process, without ever waiting for it.

Each question has a number and a Pending; the answer comes in one or more messages by the worker's
inbox and finishes the Pending. What is not answered in time finishes as UNAVAILABLE.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from proxy.routing.node import Node
from proxy.routing.pending import Pending
from proxy.shm.table_ids import READER_STORAGE
from proxy.storage.kinds import Fields, Question, Status, decode_part, encode_question
from workers.child import Child
from workers.errands import Errand
from workers.mailbox import Mailbox

NUMBERS: Final = 0xFFFF_FFFF
AGAIN_SECONDS: Final = 0.1


class Answer(NamedTuple):
    """What a question came to: a Status, and the rows of an ANSWERED one."""

    status: int
    rows: list[Fields]


UNAVAILABLE: Final = Answer(int(Status.UNAVAILABLE), [])


def storage_mailbox(child: Child) -> Mailbox:
    """Where the storage process takes questions."""
    return Mailbox(child.tables.questions, child.reader_eventfds[READER_STORAGE])


class Again:
    """A question that could not be handed over: it is tried again until its time is over."""

    def __init__(self, questions: Questions, message: bytes, pending: Pending) -> None:
        self.questions = questions
        self.message = message
        self.pending = pending

    def fire(self, timer: int, now: float) -> None:
        """Once more."""
        if not self.pending.done:
            self.questions.send(self.message, self.pending)


class Questions:
    """The questions of one worker."""

    def __init__(self, child: Child, node: Node) -> None:
        self.child = child
        self.node = node
        self.wait_s = child.config.storage.wait_seconds
        self.is_answered = child.config.uses_storage
        self.number = 0
        self.open: dict[int, tuple[Pending, list[Fields]]] = {}
        node.errands[int(Errand.ANSWER)] = self.receive

    def ask(self, kind: int, fields: Fields, pending: Pending, seconds: float = 0.0) -> None:
        """Ask; `pending` finishes with an Answer, or LATE after so many seconds (0: the usual).

        It is UNAVAILABLE if none can come.
        """
        if not self.is_answered:
            pending.finish(UNAVAILABLE)
            return
        if not self.node.pendings.begin(pending, seconds or self.wait_s, self.node.now):
            return
        self.number = self.number + 1 & NUMBERS
        message = encode_question(Question(kind, self.child.index, self.number, fields))
        self._forget_the_late()
        self.open[self.number] = pending, []
        self.send(message, pending)

    def send(self, message: bytes, pending: Pending) -> None:
        """Hand a question over; again a little later if the way is full, or its lock is busy."""
        if not storage_mailbox(self.child).put(message):
            again = Again(self, message, pending)
            self.node.layer.timers.start(self.node.now, AGAIN_SECONDS, again, 0)

    def receive(self, data: bytes) -> None:
        """A part of an answer has come."""
        try:
            part = decode_part(data)
        except ValueError:
            return
        if part.number not in self.open:
            return
        pending, rows = self.open[part.number]
        rows += part.rows
        if not part.more:
            del self.open[part.number]
            pending.finish(Answer(part.status, rows))

    def _forget_the_late(self) -> None:
        """The oldest come first; those whose time was over have been finished by then."""
        while self.open:
            number = next(iter(self.open))
            if not self.open[number][0].done:
                return
            del self.open[number]
