"""One text that one process writes and any may read: short, whole or not at all."""

from __future__ import annotations

from typing import Final

from proxy.errors import ShmError
from proxy.shm import layout
from proxy.shm.arena import Arena, fold

KIND: Final = b"page"
LAYOUT: Final = "u32 turn, u32 length, u64 check | two halves, the text of turn n in half n mod 2"
SIZE: Final = 65_536

_TURN: Final = layout.HEADER_BYTES
_HALVES: Final = 2 * layout.HEADER_BYTES
_TRIES: Final = 10


class Page:
    """The text lies in two halves by turns, so that a reader is only disturbed by two writes."""

    def __init__(self, arena: Arena) -> None:
        self.arena = arena
        self.half = (arena.size - _HALVES) // 2

    @staticmethod
    def create(path: str | None = None, size: int = SIZE) -> Page:
        """An empty page for a text of less than half its size; without a path in the family."""
        arena = Arena.anonymous(size) if path is None else Arena.create(path, size)
        layout.write(arena, KIND, LAYOUT, (size,))
        return Page(arena)

    @staticmethod
    def over(arena: Arena) -> Page:
        """The page in a mapping that others use; nothing in it changes."""
        if layout.read(arena, KIND, LAYOUT).geometry[0] != arena.size:
            raise ShmError(f"{arena.path} has a header that contradicts itself")
        return Page(arena)

    def write(self, text: bytes) -> None:
        """Replace the text; its one writer's alone."""
        if len(text) > self.half - 16:
            raise ShmError(f"a page holds at most {self.half - 16} bytes, not {len(text)}")
        turn = (self.arena.u32(_TURN) + 1) & 0xFFFFFFFF
        at = _HALVES + (turn & 1) * self.half
        self.arena.put_u32(at, len(text))
        self.arena.put_u64(at + 8, fold(text, turn))
        self.arena.put(at + 16, text)
        self.arena.put_u32(_TURN, turn)  # here the new text begins to hold

    def read(self) -> bytes:
        """The text; empty before the first write."""
        for _ in range(_TRIES):
            turn = self.arena.u32(_TURN)
            at = _HALVES + (turn & 1) * self.half
            length = self.arena.u32(at)
            if turn and length <= self.half - 16:
                text = self.arena.copy(at + 16, length)
                if self.arena.u64(at + 8) == fold(text, turn):
                    return text
        return b""
