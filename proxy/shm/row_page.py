"""Small lists of the database - domains, addresses - that every worker keeps a copy of.

One process publishes a list whole; workers look once a second whether there is a new one. Each
list has two halves: the new one is written into the half that nobody reads and made valid by one
store, so whoever dies while publishing leaves the old list, and a restarted server, or one whose
database is away, goes on with the last list it had.
"""

from __future__ import annotations

from collections.abc import Sequence

from proxy.errors import ShmError
from proxy.shm import layout
from proxy.shm.arena import Arena, fold

KIND = b"rows"
LAYOUT = "list: lock generation | 2 halves: length checksum bytes; rows: count, then length + bytes"
NONE = 0xFFFFFFFF  # the length of a NULL

_LISTS_AT = layout.HEADER_BYTES
_GENERATION = layout.BESIDE_LOCK
_HALF_HEAD = 16

Rows = Sequence[Sequence[bytes | None]]


class RowPage:
    """A fixed number of lists of at most `room` bytes each."""

    def __init__(self, arena: Arena, lists: int, room: int) -> None:
        self.arena = arena
        self.lists = lists
        self.room = room

    @staticmethod
    def create(path: str | None, lists: int, room: int) -> RowPage:
        """Lists that nobody has published yet."""
        room = (room + 63) & ~63
        size = _LISTS_AT + lists * (layout.LINE + 2 * (_HALF_HEAD + room))
        arena = Arena.anonymous(size) if path is None else Arena.create(path, size)
        page = RowPage(arena, lists, room)
        page._make_locks()
        layout.write(arena, KIND, LAYOUT, (lists, room))
        return page

    @staticmethod
    def attach(path: str) -> RowPage:
        """The lists of an existing file, as its owner."""
        page = RowPage.over(Arena.own(path))
        page._make_locks()
        return page

    @staticmethod
    def over(arena: Arena) -> RowPage:
        """The lists in a mapping that others use; nothing in it changes."""
        geometry = layout.read(arena, KIND, LAYOUT).geometry
        page = RowPage(arena, geometry[0], geometry[1])
        if page._list_at(page.lists) != arena.size:
            raise ShmError(f"{arena.path} has a header that contradicts itself")
        return page

    def generation(self, number: int) -> int:
        """Changes whenever a list is published; 0: never was."""
        return self.arena.u32(self._list_at(number) + _GENERATION)

    def publish(self, number: int, rows: Rows) -> None:
        """Replace a list; ShmError when it does not fit, and the old one stays."""
        data = pack(rows)
        if len(data) > self.room:
            raise ShmError(
                f"{self.arena.path}: a list of {len(data)} bytes, room is for {self.room}"
            )
        at = self._list_at(number)
        if self.arena.lock(at):
            self.arena.adopt(at)  # its holder had not yet stored the generation
        try:
            generation = self.arena.u32(at + _GENERATION) % 0xFFFF_FFFE + 1
            half = self._half_at(at, generation)
            self.arena.put_u32(half, len(data))
            self.arena.put(half + _HALF_HEAD, data)
            self.arena.put_u64(half + 8, fold(data, generation))
            self.arena.put_u32(at + _GENERATION, generation)  # here the new list begins to hold
        finally:
            self.arena.unlock(at)

    def read(self, number: int) -> tuple[int, list[list[bytes | None]]] | None:
        """The generation of a list and its rows; None while it changes, or when it is damaged."""
        at = self._list_at(number)
        generation = self.arena.u32(at + _GENERATION)
        if generation == 0:
            return 0, []
        half = self._half_at(at, generation)
        length = self.arena.u32(half)
        if length > self.room:
            return None
        data = self.arena.copy(half + _HALF_HEAD, length)
        whole = fold(data, generation) == self.arena.u64(half + 8)
        if not whole or self.arena.u32(at + _GENERATION) != generation:
            return None
        return generation, unpack(data)

    def close(self) -> None:
        """Unmap."""
        self.arena.close()

    def _make_locks(self) -> None:
        for number in range(self.lists):
            self.arena.make_lock(self._list_at(number))

    def _list_at(self, number: int) -> int:
        if not 0 <= number <= self.lists:
            raise ShmError(f"there is no list {number}")
        return _LISTS_AT + number * (layout.LINE + 2 * (_HALF_HEAD + self.room))

    def _half_at(self, at: int, generation: int) -> int:
        return at + layout.LINE + generation % 2 * (_HALF_HEAD + self.room)


def pack(rows: Rows) -> bytes:
    """Rows as bytes."""
    pieces = [len(rows).to_bytes(4, "little")]
    for row in rows:
        pieces.append(len(row).to_bytes(4, "little"))
        for value in row:
            length = NONE if value is None else len(value)
            pieces += (length.to_bytes(4, "little"), value or b"")
    return b"".join(pieces)


def unpack(data: bytes) -> list[list[bytes | None]]:
    """The rows in what pack() made."""
    at = 0

    def number() -> int:
        nonlocal at
        at += 4
        return int.from_bytes(data[at - 4 : at], "little")

    rows: list[list[bytes | None]] = []
    for _ in range(number()):
        row: list[bytes | None] = []
        for _ in range(number()):
            length = number()
            if length == NONE:
                row.append(None)
            else:
                row.append(data[at : at + length])
                at += length
        rows.append(row)
    return rows
