"""One reader's way along the change ring."""

from __future__ import annotations

import cython

from proxy.shm.changes import OVERRUN, PASSED, STRIPE, WAITING, ChangeRing, units_of

PATIENCE_MS = 20  # how long a claimed note may be unpublished: a writer that is not running
_OVERRUN = OVERRUN
_PASSED = PASSED
_STRIPE = STRIPE
_WAITING = WAITING
_PATIENCE_MS = PATIENCE_MS


@cython.freelist(256)
@cython.cclass
class Change:
    """A record that was committed; with `stripe` >= 0 and no key, any record of that stripe."""

    __slots__ = ("ends", "key", "stripe", "table")

    table: int
    key: bytes
    stripe: int
    ends: int  # the position behind the note

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Change):
            return NotImplemented
        return (self.table, self.key, self.stripe) == (other.table, other.key, other.stripe)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<Change of {self.key or self.stripe!r} in table {self.table}>"


def change_of(table: int, key: bytes, stripe: int = -1, ends: int = 0) -> Change:
    """A change, made without a constructor: there is one for every REGISTER."""
    change = Change.__new__(Change)
    change.table = table
    change.key = key
    change.stripe = stripe
    change.ends = ends
    return change


class ChangeReader:
    """A cursor that notices when notes were lost: then `overrun` is set until resume()."""

    def __init__(self, ring: ChangeRing) -> None:
        self.ring = ring
        self.position = ring.head
        self.overrun = False
        self._lost = ring.lost
        self._waits_since = -1

    def resume(self) -> None:
        """Go on at the head. Call it before comparing everything, so that nothing is missed."""
        self._lost = self.ring.lost
        self.position = self.ring.head
        self.overrun = False
        self._waits_since = -1

    def take(self, limit: int, now_ms: int) -> list[Change]:
        """The next notes, at most `limit`; fewer when there are no more, or on an overrun."""
        found: list[Change] = []
        ring = self.ring
        while len(found) < limit:
            state = self.advance(now_ms)
            if state in (_WAITING, _OVERRUN):
                break
            if state == _STRIPE:
                stripe = int.from_bytes(ring.key, "little")
                found.append(change_of(ring.table, b"", stripe, ring.following))
            else:
                found.append(change_of(ring.table, ring.key, -1, ring.following))
        return found

    def advance(self, now_ms: int) -> int:
        """The next note, left in the ring's `table` and `key`: READ or STRIPE; WAITING: none.

        OVERRUN: notes were lost, on this way or another.
        """
        ring = self.ring
        if ring.lost != self._lost:
            self.overrun = True
        while not self.overrun:
            state = ring.read(self.position)
            if state == _OVERRUN:
                self.overrun = True
            elif state == _WAITING:
                if self.position == ring.head or not self._lost_patience(now_ms):
                    return _WAITING
                ring.skip(self.position)  # and read it again: it is passed, or published
            else:
                self.position = ring.following
                self._waits_since = -1
                if state != _PASSED:
                    return state
        return _OVERRUN

    def pass_own(self, key: bytes, ends: int) -> bool:
        """Go past a note of our own, if it is the next one."""
        if self.position + units_of(key) != ends:
            return False
        self.position = ends
        return True

    def _lost_patience(self, now_ms: int) -> bool:
        if self._waits_since < 0:
            self._waits_since = now_ms
        return now_ms - self._waits_since >= _PATIENCE_MS
