"""What changed here, in order: keys and not values, so that a hot record is sent once (R10)."""

from __future__ import annotations

from collections import deque
from itertools import islice


class Backlog:
    """The last changes; a position is how many came before it, in this incarnation."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.head = 0
        self._notes: deque[tuple[int, bytes]] = deque()

    @property
    def tail(self) -> int:
        """The oldest position that can still be followed from."""
        return self.head - len(self._notes)

    def append(self, table: int, key: bytes) -> None:
        """One more; the oldest is forgotten when there are too many."""
        if len(self._notes) == self.most:
            self._notes.popleft()
        self._notes.append((table, key))
        self.head += 1

    def skip(self) -> None:
        """Some were never seen: nobody can follow from before this moment."""
        self._notes.clear()
        self.head += 1

    def since(self, position: int, limit: int) -> list[tuple[int, bytes]]:
        """Up to `limit` changes from `position` on, which must not be before the tail."""
        start = position - self.tail
        if start < 0:
            raise IndexError(f"position {position} has left the backlog")
        return list(islice(self._notes, start, start + limit))
