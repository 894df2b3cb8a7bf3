"""What is known of very many records: a 64-bit number to another, in 16 bytes each.

Cells of an open hash table: the name, 0 for a free cell, and the value, which is never 0. The names
are hashes already. A dictionary would take six times as much memory, and twice the time.
"""

from __future__ import annotations

import cython

if not cython.compiled:
    from proxy.shm.words import get_u64, put_u64

CELL = 16
LEAST = 64  # cells


class Stamps:
    """Names to values; a value of 0 is none."""

    def __init__(self) -> None:
        self.count = 0
        self._mask = LEAST - 1
        self._cells = bytearray(CELL * LEAST)

    def get(self, name: int) -> int:
        """The value of a name, 0 where there is none."""
        p = self._cells
        at = self._find(name)
        return get_u64(p, at + 8) if get_u64(p, at) else 0

    def put(self, name: int, value: int) -> None:
        """Give a name a value; 0 takes it away."""
        at = self._find(name)
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
        if 8 * self.count > 5 * self._mask:
            self._grow()

    def _find(self, name: int) -> int:
        """Where the cell of a name is, or the free one where it would be."""
        p = self._cells
        name = name if name else 1  # one hash in 2^64
        index = name & self._mask
        at = CELL * index
        while get_u64(p, at) != 0 and get_u64(p, at) != name:
            index = (index + 1) & self._mask
            at = CELL * index
        return at

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
                put_u64(p, CELL * hole, name)
                put_u64(p, CELL * hole + 8, get_u64(p, CELL * index + 8))
                hole = index
        put_u64(p, CELL * hole, 0)
        put_u64(p, CELL * hole + 8, 0)

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
                at = self._find(name)
                put_u64(q, at, name)
                put_u64(q, at + 8, get_u64(p, CELL * number + 8))
