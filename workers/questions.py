"""What a worker asks the storage process, without ever waiting for it.

Each question has a number and a Pending; the answer comes in one or more messages by the worker's
inbox and finishes the Pending. What is not answered in time finishes as LATE; a Pending that can
do something with the answer all the same is finished once more when it comes.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from proxy.limits.bounds import PENDINGS
from proxy.routing.node import Node
from proxy.routing.pending import Pending
from proxy.shm.table_ids import READER_STORAGE
from proxy.storage.kinds import Fields, Question, Status, decode_part, encode_question
from proxy.transaction.timers import Timed
from workers.child import Child
from workers.errands import Errand
from workers.mailbox import Mailbox

NUMBERS: Final = 0xFFFF_FFFF
AGAIN_SECONDS: Final = 0.1
KEPT: Final = 2 * PENDINGS  # questions whose answers are still listened for
KEPT_SECONDS: Final = 60.0


class Answer(NamedTuple):
    """What a question came to: a Status, and the rows of an ANSWERED one."""

    status: int
    rows: list[Fields]


class Open(NamedTuple):
    """A question that has been asked, and what has come of the answer."""

    pending: Pending
    rows: list[Fields]
    kept_until: float


UNAVAILABLE: Final = Answer(int(Status.UNAVAILABLE), [])


def storage_mailbox(child: Child) -> Mailbox:
    """Where the storage process takes questions."""
    return Mailbox(child.tables.questions, child.reader_eventfds[READER_STORAGE])


class Again(Timed):
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
        self.open: dict[int, Open] = {}
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
        self.open[self.number] = Open(pending, [], self.node.now + KEPT_SECONDS)
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
        asked = self.open[part.number]
        asked.rows.extend(part.rows)
        if not part.more:
            del self.open[part.number]
            asked.pending.finish(Answer(part.status, asked.rows))

    def _forget_the_late(self) -> None:
        """The oldest come first. A late answer may still be of use, but not for ever."""
        while self.open:
            number = next(iter(self.open))
            asked = self.open[number]
            is_kept = self.node.now < asked.kept_until and len(self.open) <= KEPT
            if is_kept or not asked.pending.done:
                return
            del self.open[number]
