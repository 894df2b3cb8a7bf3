"""One reader's way along the change ring."""

from __future__ import annotations

from typing import NamedTuple

from proxy.shm.changes import OVERRUN, PASSED, STRIPE, WAITING, ChangeRing

PATIENCE_MS = 20  # how long a claimed note may be unpublished: a writer that is not running


class Change(NamedTuple):
    """A record that was committed; with `stripe` >= 0 and no key, any record of that stripe."""

    table: int
    key: bytes
    stripe: int = -1


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
        if self.ring.lost != self._lost:
            self.overrun = True
        while len(found) < limit and not self.overrun:
            state, table, key, following = self.ring.read(self.position)
            if state == OVERRUN:
                self.overrun = True
            elif state == WAITING:
                if self.position == self.ring.head or not self._lost_patience(now_ms):
                    break
                self.ring.skip(self.position)  # and read it again: it is passed, or published
            else:
                self.position = following
                if state == STRIPE:
                    found.append(Change(table, b"", int.from_bytes(key, "little")))
                elif state != PASSED:
                    found.append(Change(table, key))
                self._waits_since = -1
        return found

    def _lost_patience(self, now_ms: int) -> bool:
        if self._waits_since < 0:
            self._waits_since = now_ms
        return now_ms - self._waits_since >= PATIENCE_MS
