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

    def extend(self, notes: list[Note]) -> None:
        """Some more; the oldest are forgotten when there are too many."""
        _lay_down(self._notes, notes, self.head, self.most)
        self.head += len(notes)
        self.tail = max(self.tail, self.head - self.most)

    def skip(self) -> None:
        """Some were never seen: nobody can follow from before this moment."""
        self.extend([(0, b"")])
        self.tail = self.head

    def since(self, position: int, limit: int) -> list[Note]:
        """Up to `limit` changes from `position` on, which must not be before the tail."""
        if position < self.tail:
            raise IndexError(f"position {position} has left the backlog")
        end = min(self.head, position + limit)
        start = position % self.most
        upto = start + end - position
        return self._notes[start:upto] + self._notes[: max(0, upto - self.most)]


def _lay_down(kept: list[Note], notes: list[Note], head: int, most: int) -> None:
    for note in notes:
        if len(kept) < most:
            kept.append(note)
        else:
            kept[head % most] = note
        head += 1
