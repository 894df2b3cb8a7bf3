"""What changed here, in order: keys and not values, so that a hot record is sent once (R10)."""

from __future__ import annotations

Note = tuple[int, bytes]  # table, key


class Backlog:
    """The last `most` changes; a position is how many came before it, in this incarnation."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.head = 0
        self.tail = 0  # the oldest position that can still be followed from
        self._notes: list[Note] = []  # position p lies at p % most

    def append(self, note: Note) -> None:
        """One more; the oldest is forgotten when there are too many."""
        if len(self._notes) < self.most:
            self._notes.append(note)
        else:
            self._notes[self.head % self.most] = note
        self.head += 1
        if self.head - self.tail > self.most:
            self.tail += 1

    def skip(self) -> None:
        """Some were never seen: nobody can follow from before this moment."""
        self.append((0, b""))
        self.tail = self.head

    def since(self, position: int, limit: int) -> list[Note]:
        """Up to `limit` changes from `position` on, which must not be before the tail."""
        if position < self.tail:
            raise IndexError(f"position {position} has left the backlog")
        end = min(self.head, position + limit)
        start = position % self.most
        upto = start + end - position
        return self._notes[start:upto] + self._notes[: max(0, upto - self.most)]
