"""The Call-IDs that a worker keeps when others take its place: those of its live transactions.

A set of 32-bit hashes with one writer, its worker, and no lock. A hash that two Call-IDs share
sends a call to a worker that can serve it as well as any other: nothing depends on their being few.
"""

from __future__ import annotations

from proxy.errors import ShmError
from proxy.shm import layout
from proxy.shm.arena import Arena

KIND = b"kept"
LAYOUT = "2^18 x u32 hash of a Call-ID, 0 free, 1 removed"
SLOTS = 1 << 18
MOST = 3 * SLOTS // 4  # beyond, looking for one that is not there takes long

_SLOTS_AT = layout.HEADER_BYTES
_BYTES = 4 * SLOTS
_MASK = SLOTS - 1
_SHIFT = 32 - 18
_WORD = 0xFFFFFFFF  # compiled, literals as large would be Python numbers
_SPREAD = 0x9E3779B1
_FREE = 0
_REMOVED = 1


class KeptCalls:
    """The set; `used` counts what its writer has filled, removed ones included."""

    def __init__(self, arena: Arena) -> None:
        self.arena = arena
        self.used = 0

    @staticmethod
    def create(path: str | None = None) -> KeptCalls:
        """An empty set; without a path it lives in the family."""
        size = _SLOTS_AT + _BYTES
        arena = Arena.anonymous(size) if path is None else Arena.create(path, size)
        layout.write(arena, KIND, LAYOUT, (SLOTS,))
        return KeptCalls(arena)

    @staticmethod
    def join(path: str) -> KeptCalls:
        """The set of a file that somebody else made."""
        return KeptCalls.over(Arena.join(path))

    @staticmethod
    def over(arena: Arena) -> KeptCalls:
        """The set in a mapping that others use; nothing in it changes."""
        header = layout.read(arena, KIND, LAYOUT)
        if header.geometry[0] != SLOTS or arena.size != _SLOTS_AT + _BYTES:
            raise ShmError(f"{arena.path} has a header that contradicts itself")
        return KeptCalls(arena)

    def clear(self) -> None:
        """Forget everything, while nobody looks."""
        self.arena.zero(_SLOTS_AT, _BYTES)
        self.used = 0

    def has(self, call: int) -> bool:
        """Whether the worker keeps this call."""
        call = _key(call)
        return self.arena.u32(self._find(call)) == call

    def add(self, call: int) -> bool:
        """Keep a call; False when there are too many. The writer's alone, as all that changes."""
        call = _key(call)
        at = self._find(call)
        if self.arena.u32(at) == call:
            return True
        if self.used >= MOST:
            return False
        self.used += 1
        self.arena.put_u32(at, call)
        return True

    def remove(self, call: int) -> None:
        """Keep it no longer."""
        call = _key(call)
        at = self._find(call)
        if self.arena.u32(at) == call:
            self.arena.put_u32(at, _REMOVED)

    def _find(self, call: int) -> int:
        """Where the slot of a call is, or the free one that ends the search: MOST leaves some."""
        place = _place(call)
        for _ in range(SLOTS):
            found = self.arena.u32(_SLOTS_AT + 4 * place)
            if found in (call, _FREE):
                break
            place = place + 1 & _MASK
        return _SLOTS_AT + 4 * place


def _key(call: int) -> int:
    """The hash, different from what stands for no hash."""
    return call if call > _REMOVED else call + 2


def _place(call: int) -> int:
    """Where to begin looking: owners go by the lowest bits, so those are the same for many."""
    return (call * _SPREAD & _WORD) >> _SHIFT
