"""What a policy wants to know of the database: from the cache, else asked once and awaited.

While the database is away, what was known is good for longer (`stale_seconds`) and nobody who is
known waits; what was not known becomes 503 and never 403. A statement that the database refuses is
no sign of its being away: that question alone stays without an answer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from proxy.limits import bounds
from proxy.limits.counters import AUTH_FETCH_FAILURES, AUTH_FETCHES, AUTH_WAITS
from proxy.registrar.answers import ABSENT, FOUND, UNKNOWN, Answer, Answers, answer_of
from proxy.registrar.questions import Field, Question, Rows
from proxy.routing.node import Node
from proxy.routing.pending import LATE, Late, Pending
from proxy.storage.kinds import Status

FETCH_SECONDS = bounds.FETCH_SECONDS
WAITERS = bounds.FETCH_WAITERS
AWAY_SECONDS = 1.0  # so long nobody else asks a database that did not answer
REFUSED = 4  # told to other workers: the database would not have the question
SLOW = 5  # likewise: there is no answer yet, of a database that does answer


class Fetched(Protocol):
    """What the storage process answers: `status` 0 and rows, or why there are none."""

    status: int
    rows: Rows


Ask = Callable[[bytes, list[Field], Pending], None]
Tell = Callable[[bytes], None]


class Inquiry(Pending):
    """One question to the database, of one worker; keeps the answer and lets the others know.

    An answer that comes too late for who waited is kept all the same: the next one need not ask.
    Else a database that is slower than telephones come would be asked ever more, for nothing.
    """

    def __init__(self, inquiries: Inquiries, question: Question) -> None:
        self.promise()
        self.inquiries = inquiries
        self.question = question

    def finish(self, result: Fetched | Late) -> None:
        """The answer, or LATE; or LATE and then the answer."""
        was_late = self.done
        Pending.finish(self, result)
        key = self.question.key
        if isinstance(result, Late):
            self.inquiries.failed(key, SLOW if self.inquiries.is_heard_of() else UNKNOWN)
        elif result.status == Status.ANSWERED:
            self.inquiries.answered(key, self.question.encode(result.rows))
        elif not was_late:
            self.inquiries.failed(key, REFUSED if result.status == Status.FAILED else UNKNOWN)


class Inquiries:
    """The questions of one worker; `ask` asks storage, `tell` tells the other workers of a key."""

    def __init__(self, node: Node, answers: Answers, ask: Ask, tell: Tell) -> None:
        self.node = node
        self.answers = answers
        self.ask = ask
        self.tell = tell
        self.waiting: dict[bytes, list[Pending]] = {}
        self.away = False  # the last thing heard of the database is that it does not answer
        self.away_until = 0.0
        self.heard_at = -FETCH_SECONDS

    def known(self, question: Question) -> Answer | None:
        """An answer that holds now, without waiting; None when it has to be asked for."""
        now = self.node.wall
        answer = self.answers.look(question.key)
        if self.answers.is_fresh(answer, now):
            if self.answers.is_ageing(answer, now) and self.node.now >= self.away_until:
                self.fetch(question, answer)
            return answer
        if self.away and self.answers.is_tolerable(answer, now):
            if self.node.now >= self.away_until:
                self.is_away()  # until there is an answer: one asks, and nobody waits for it
                self.fetch(question, answer)
            return answer
        return None

    async def find(self, question: Question) -> Answer | None:
        """An answer, waited for if need be; None while the database is away and nothing known."""
        answer = self.known(question)
        if answer is not None:
            return answer
        if self.node.now >= self.away_until:
            answer = await self.wait_for(question)
            if answer is not None:
                return answer
        answer, now = self.answers.look(question.key), self.node.wall
        # What another worker has found out, though the word of it was lost, or what was known.
        known = self.answers.is_fresh(answer, now) or self.answers.is_tolerable(answer, now)
        return answer if known else None

    async def wait_for(self, question: Question) -> Answer | None:
        """Wait until a question is answered, by whoever has asked; None when it is too late."""
        key = question.key
        waiting = self.waiting.get(key)
        if waiting is not None and len(waiting) >= WAITERS:
            return None
        pending = Pending()
        if not self.node.pendings.begin(pending, FETCH_SECONDS, self.node.now):
            return None
        self.node.counters.add(AUTH_WAITS, 1)
        if waiting is None:
            waiting = self.waiting[key] = []
        waiting.append(pending)
        if len(waiting) == 1:
            self.fetch(question, self.answers.look(key))
        result = await pending
        if self.waiting.get(key) is waiting:  # too late; go_on() has taken the list away else
            waiting.remove(pending)
            if not waiting:
                del self.waiting[key]
        if result is LATE and not self.is_heard_of():
            self.is_away()
            self.tell(bytes((UNKNOWN,)) + key)  # or somebody would wait in vain at each worker
        answer: Answer | None = result or None
        return answer

    def fetch(self, question: Question, answer: Answer) -> None:
        """Ask, unless somebody on this node does already."""
        if not self.answers.may_ask(question.key, answer, self.node.wall):
            return
        self.node.counters.add(AUTH_FETCHES, 1)
        self.ask(question.kind, question.fields(), Inquiry(self, question))

    def answered(self, key: bytes, body: bytes | None) -> None:
        """The database has said something: keep it, go on, and let the other workers go on."""
        self.is_back()
        state = ABSENT if body is None else FOUND
        self.answers.keep(key, state, body or b"", self.node.wall)
        self.go_on(key, answer_of(state, body or b"", self.node.wall))
        self.tell(bytes((state,)) + key)

    def failed(self, key: bytes, why: int) -> None:
        """No answer: whoever waits need not wait any longer."""
        self.node.counters.add(AUTH_FETCH_FAILURES, 1)
        self.give_up(key, why)
        self.tell(bytes((why,)) + key)

    def give_up(self, key: bytes, why: int) -> None:
        """Go on without an answer: UNKNOWN, REFUSED or SLOW."""
        if why == UNKNOWN:
            self.is_away()
        elif why == REFUSED:
            self.is_back()
        self.go_on(key, None)

    def told(self, news: bytes) -> None:
        """What another worker has found out: a state and the key."""
        state, key = news[0], news[1:]
        if state in (UNKNOWN, REFUSED, SLOW):
            self.give_up(key, state)
            return
        self.is_back()
        if state == ABSENT:
            self.go_on(key, answer_of(ABSENT, b"", self.node.wall))
        elif key in self.waiting:
            answer = self.answers.look(key)
            self.go_on(key, answer if self.answers.is_fresh(answer, self.node.wall) else None)

    def is_heard_of(self) -> bool:
        """Whether the database has said something of late."""
        return self.node.now < self.heard_at + FETCH_SECONDS

    def is_away(self) -> None:
        """Let a database rest that does not answer."""
        self.away = True
        self.away_until = self.node.now + AWAY_SECONDS

    def is_back(self) -> None:
        """The database has said something, to whomever."""
        self.away = False
        self.away_until = 0.0
        self.heard_at = self.node.now

    def go_on(self, key: bytes, answer: Answer | None) -> None:
        """Resume who waits for a key."""
        for pending in self.waiting.pop(key, ()):
            pending.finish(answer)
