"""What is known of very many records: a 64-bit number to two others, in 24 bytes each.

Cells of an open hash table: the name, 0 for a free cell, the value, which is never 0, and the rest.
The names are hashes already. A dictionary would take six times as much memory, and twice the time.
"""

from __future__ import annotations

import cython

if not cython.compiled:
    from proxy.shm.words import get_u64, put_u64, warm

CELL = 24
LEAST = 64  # cells


class Stamps:
    """Names to values; a value of 0 is none."""

    def __init__(self) -> None:
        self.count = 0
        self._mask = LEAST - 1
        self._cells = bytearray(CELL * LEAST)

    def get(self, name: int) -> int:
        """The value of a name, 0 where there is none."""
        return self.value_at(self.find(name))

    def put(self, name: int, value: int, rest: int = 0) -> None:
        """Give a name a value and a rest; a value of 0 takes it away."""
        self.put_at(self.find(name), name, value, rest)

    def value_at(self, at: int) -> int:
        """The value in the cell that find() has found."""
        p = self._cells
        return get_u64(p, at + 8)

    def rest_at(self, at: int) -> int:
        """The rest in that cell."""
        p = self._cells
        return get_u64(p, at + 16)

    def put_at(self, at: int, name: int, value: int, rest: int) -> None:
        """Put into the cell that find() has found for `name`; a value of 0 empties it."""
        p = self._cells
        if value == 0:
            if get_u64(p, at):
                self.count -= 1
                self._free(at)
            return
        if get_u64(p, at) == 0:
            self.count += 1
            put_u64(p, at, name if name else 1)
        put_u64(p, at + 8, value)
        put_u64(p, at + 16, rest)
        if 8 * self.count > 5 * self._mask:
            self._grow()

    def find(self, name: int) -> int:
        """Where the cell of a name is, or the free one where it would be."""
        p = self._cells
        name = name if name else 1  # one hash in 2^64
        index = name & self._mask
        at = CELL * index
        while get_u64(p, at) != 0 and get_u64(p, at) != name:
            index = (index + 1) & self._mask
            at = CELL * index
        return at

    def warm(self, name: int) -> int:
        """Ask for the memory of a name's cell: it comes while something else is done."""
        at = CELL * (name & self._mask)
        warm(self._cells, at)
        warm(self._cells, at + CELL - 1)  # some lie across two lines of the cache
        return 0

    def _free(self, at: int) -> None:
        """Empty a cell, and close the gap in front of what was put behind it."""
        p = self._cells
        hole = at // CELL
        index = hole
        while True:
            index = (index + 1) & self._mask
            name = get_u64(p, CELL * index)
            if name == 0:
                break
            # What belongs at or before the hole moves into it; anything else is where it must be.
            if ((index - name) & self._mask) >= ((index - hole) & self._mask):
                _copy(p, CELL * hole, p, CELL * index)
                hole = index
        put_u64(p, CELL * hole, 0)
        put_u64(p, CELL * hole + 8, 0)
        put_u64(p, CELL * hole + 16, 0)

    def _grow(self) -> None:
        old = self._cells
        size = self._mask + 1
        self._mask = 2 * size - 1
        self._cells = bytearray(2 * CELL * size)
        p = old
        q = self._cells
        for number in range(size):
            name = get_u64(p, CELL * number)
            if name:
                _copy(q, self.find(name), p, CELL * number)


def _copy(to: bytearray, at: int, cells: bytearray, cell: int) -> None:
    """One cell as another."""
    for word in range(0, CELL, 8):
        put_u64(to, at + word, get_u64(cells, cell + word))
