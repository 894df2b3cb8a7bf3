"""Text put together in one buffer: each piece is copied once, and becomes no object of its own.

Who writes one begins it, adds to it, and takes it; a module keeps a draft and uses it again.
"""

from __future__ import annotations

import cython

if not cython.compiled:

    def put_bytes(room: bytearray, at: int, p: bytes, start: int, size: int) -> None:
        """Copy p[start:start + size] to room[at:]."""
        room[at : at + size] = p[start : start + size]


_ROOM = 4096  # what nearly every message fits into


class Draft:
    """A text that grows at its end."""

    def __init__(self) -> None:
        self.store = bytearray(_ROOM)
        self.room = self.store  # compiled, a pointer to its first byte
        self.size = _ROOM
        self.used = 0

    def begin(self) -> int:
        """Forget what was written before."""
        self.used = 0
        return 0

    def add(self, text: bytes) -> int:
        """Write a piece."""
        p = text
        length = len(text)
        if length > self.size - self.used:
            self.grow(length)
        put_bytes(self.room, self.used, p, 0, length)
        self.used += length
        return 0

    def add_part(self, data: bytes, start: int, end: int) -> int:
        """Write data[start:end]; nothing when it ends before it starts."""
        length = end - start
        if length > 0:
            p = data
            if length > self.size - self.used:
                self.grow(length)
            put_bytes(self.room, self.used, p, start, length)
            self.used += length
        return 0

    def add_number(self, number: int) -> int:
        """Write a number that is not negative, in decimal digits."""
        if self.size - self.used < 20:
            self.grow(20)
        at = self.used
        rest = number
        while rest > 9:
            rest //= 10
            at += 1
        self.used = at + 1
        while True:
            self.room[at] = 48 + number % 10
            number //= 10
            if number == 0:
                break
            at -= 1
        return 0

    def grow(self, length: int) -> int:
        """Make room for `length` bytes more."""
        self.store.extend(bytes(self.size + length))
        self.room = self.store
        self.size = len(self.store)
        return 0

    def take(self) -> bytes:
        """What has been written."""
        room = self.room
        text = room[: self.used]
        return text if cython.compiled else bytes(text)  # type: ignore[return-value]
