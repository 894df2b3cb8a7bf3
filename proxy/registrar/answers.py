"""Answers of the database, kept in shared memory: what is known, since when, and who asks again.

A record is

    <state: 1> <fetched: 4, wall seconds> <asked: 4, wall seconds> <body>

`fetched` says when the database said so, `asked` when somebody last asked it. Who wants to ask
first writes `asked`; of several only one succeeds, so that each question is asked once per node.
"""

from __future__ import annotations

import cython

from proxy.errors import LockTimeout, ShmError, TableFull
from proxy.shm.answer_table import AnswerTable

if not cython.compiled:
    from proxy.shm.words import get_u32

FOUND = 1
ABSENT = 2
UNKNOWN = 3  # asked, and not answered yet
_FOUND = FOUND
_ABSENT = ABSENT
_UNKNOWN = UNKNOWN
_HEAD = 9
ASK_AGAIN_SECONDS = 3  # a question without an answer for so long is asked again
_ASK_AGAIN = ASK_AGAIN_SECONDS
NEGATIVE_SHARE = 4  # one in so many records may say that there is nothing
ATTEMPTS = 5


@cython.freelist(16)
@cython.cclass
class Answer:
    """One answer as it stood in the table."""

    __slots__ = ("asked", "body", "fetched", "stamp", "state")

    state: int
    fetched: int
    asked: int
    body: bytes
    stamp: int


def answer_of(state: int, body: bytes, now: int) -> Answer:
    """An answer that is in no table."""
    made = Answer.__new__(Answer)
    made.state = state
    made.body = body
    made.fetched = made.asked = now
    made.stamp = 0
    return made


class Answers:
    """The answers that one process sees, and how long it believes them."""

    def __init__(
        self, table: AnswerTable, *, ttl: int, negative_ttl: int, stale_seconds: int
    ) -> None:
        self.table = table
        self.ttl = ttl
        self.negative_ttl = negative_ttl
        self.stale_seconds = stale_seconds
        self.not_kept = 0  # the table was full, or the share of negative answers was
        self._negatives = 0
        self._counted_at = -1

    def look(self, key: bytes) -> Answer:
        """What the table holds; UNKNOWN, never asked, where it holds nothing."""
        payload, stamp = self.table.snapshot(key)
        made = Answer.__new__(Answer)
        made.stamp = stamp
        made.body = b""
        made.state = _UNKNOWN
        made.fetched = made.asked = 0
        if payload is not None and len(payload) >= _HEAD and 0 < payload[0] <= _UNKNOWN:
            p = payload
            made.state = p[0]
            made.fetched = get_u32(p, 1)
            made.asked = get_u32(p, 5)
            made.body = payload[_HEAD:]
        return made

    def is_fresh(self, answer: Answer, now: int) -> bool:
        """Whether an answer holds without asking."""
        if answer.state == _FOUND:
            return now < answer.fetched + self.ttl
        return answer.state == _ABSENT and now < answer.fetched + self.negative_ttl

    def is_ageing(self, answer: Answer, now: int) -> bool:
        """Whether a fresh answer is better asked for again before it runs out."""
        if answer.state != _FOUND or now < answer.fetched + self.ttl - self.ttl // 4:
            return False
        return now >= answer.asked + _ASK_AGAIN

    def is_tolerable(self, answer: Answer, now: int) -> bool:
        """Whether an answer will do while the database is away."""
        return answer.state == _FOUND and now < answer.fetched + self.stale_seconds

    def may_ask(self, key: bytes, answer: Answer, now: int) -> bool:
        """Whether it is for this process to ask; False while somebody else does."""
        if now < answer.asked + _ASK_AGAIN:
            return False
        if answer.state != _FOUND and self.negatives_full(now):
            return True
        try:
            return self._commit(key, answer.stamp, answer.state, answer.fetched, now, answer.body)
        except (TableFull, LockTimeout):
            self.not_kept += 1
            return True  # nobody will know that it was asked, and others may ask too

    def keep(self, key: bytes, state: int, body: bytes, now: int) -> bool:
        """Note what the database has said; False when there is no room for it."""
        if state != _FOUND and self.negatives_full(now):
            self.forget(key)
            self.not_kept += 1
            return False
        try:
            for _ in range(ATTEMPTS):
                stamp = self.table.snapshot(key)[1]
                if self._commit(key, stamp, state, now, now, body):
                    return True
        except (TableFull, LockTimeout):
            self.not_kept += 1
        return False

    def forget(self, key: bytes) -> bool:
        """Drop an answer; the next who needs it asks."""
        try:
            for _ in range(ATTEMPTS):
                payload, stamp = self.table.snapshot(key)
                if payload is None:
                    return False
                if self.table.commit(key, stamp, None, 0, 0):
                    return True
        except ShmError:
            pass
        return False

    def negatives_full(self, now: int) -> bool:
        """Whether there are as many negative answers as may be: names can be invented."""
        if now != self._counted_at:
            self._counted_at = now
            self._negatives = self.table.units
        return self._negatives * NEGATIVE_SHARE >= self.table.capacity

    def _commit(
        self, key: bytes, stamp: int, state: int, fetched: int, asked: int, body: bytes
    ) -> bool:
        head = bytes((state,)) + fetched.to_bytes(4, "little") + asked.to_bytes(4, "little")
        if state == _FOUND:
            expires_at = fetched + self.stale_seconds
        else:
            expires_at = max(fetched + self.negative_ttl, asked + _ASK_AGAIN)
            self._negatives += 1
        units = 0 if state == _FOUND else 1
        return self.table.commit(key, stamp, head + body, expires_at, units)
