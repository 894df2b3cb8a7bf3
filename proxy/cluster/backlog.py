"""What changed here, in order: keys and not values, so that a hot record is sent once (R10).

A note is the table (u8), the key's length (u16) and the key. They are kept one behind the other, as
bytes: a busy node notes a hundred thousand a second, and hardly ever has to look one up.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque

import cython

from proxy.sip.draft import Draft

if not cython.compiled:
    from proxy.shm.words import get_u16, put_u16

Note = tuple[int, bytes]  # table, key

NOTE_HEAD = 3
_HEAD = bytes(NOTE_HEAD)
PAGE = 1_024  # notes of a page, and what comes at once with the last: gone through to find one


class Backlog:
    """The last `most` changes; a position is how many came before it, in this incarnation."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.head = 0
        self.tail = 0  # the oldest position that can still be followed from
        self._pages: deque[bytearray] = deque()
        self._starts: deque[int] = deque()  # the position of each page's first note

    def extend(self, notes: bytes, count: int) -> None:
        """So many more; the oldest are forgotten when there are too many."""
        if not self._pages or self.head - self._starts[-1] >= PAGE:
            self._pages.append(bytearray())
            self._starts.append(self.head)
        self._pages[-1] += notes
        self.head += count
        self.tail = max(self.tail, self.head - self.most)
        while len(self._starts) > 1 and self._starts[1] <= self.tail:
            self._starts.popleft()
            self._pages.popleft()

    def add(self, table: int, key: bytes) -> None:
        """One more."""
        self.extend(note_of(table, key), 1)

    def skip(self) -> None:
        """Some were never seen: nobody can follow from before this moment."""
        self.add(0, b"")
        self.tail = self.head

    def since(self, position: int, limit: int) -> list[Note]:
        """Up to `limit` changes from `position` on, which must not be before the tail."""
        if position < self.tail:
            raise IndexError(f"position {position} has left the backlog")
        found: list[Note] = []
        limit = min(limit, self.head - position)
        number = bisect_right(self._starts, position) - 1
        while len(found) < limit:
            skipped = max(0, position - self._starts[number])
            found += notes_in(bytes(self._pages[number]), skipped, limit - len(found))
            number += 1
        return found


def note_of(table: int, key: bytes) -> bytes:
    """The bytes of a note."""
    draft = Draft()
    add_note(draft, table, key)
    return draft.take()


def add_note(to: Draft, table: int, key: bytes) -> int:
    """Write a note behind others."""
    at = to.used
    to.add(_HEAD)
    p = to.room
    p[at] = table
    put_u16(p, at + 1, len(key))
    to.add(key)
    return 0


def notes_in(notes: bytes, skipped: int, limit: int) -> list[Note]:
    """Up to `limit` of some notes, behind the first `skipped`."""
    p = notes
    size = len(notes)
    at = 0
    found: list[Note] = []
    while at < size and len(found) < limit:
        key_at = at + NOTE_HEAD
        end = key_at + get_u16(p, at + 1)
        if skipped:
            skipped -= 1
        else:
            found.append((p[at], notes[key_at:end]))
        at = end
    return found
