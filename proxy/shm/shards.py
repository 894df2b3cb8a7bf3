"""Which worker owns a call: 1024 shards of Call-ID hashes, each assigned to one worker."""

from __future__ import annotations

from proxy.errors import ShmError
from proxy.shm import layout
from proxy.shm.arena import Arena

KIND = b"shards"
LAYOUT = "1024 x u16 worker"
SHARDS = 1024

_SHARDS_AT = layout.HEADER_BYTES
_MASK = SHARDS - 1


class Shards:
    """The shard table; the supervisor writes, workers read."""

    def __init__(self, arena: Arena) -> None:
        self.arena = arena

    @staticmethod
    def create(path: str | None, workers: int) -> Shards:
        """A table spread over workers 0 to workers - 1."""
        size = _SHARDS_AT + 2 * SHARDS
        arena = Arena.anonymous(size) if path is None else Arena.create(path, size)
        layout.write(arena, KIND, LAYOUT, (SHARDS,))
        shards = Shards(arena)
        shards.spread(list(range(workers)))
        return shards

    @staticmethod
    def attach(path: str) -> Shards:
        """The table of an existing file, as its owner."""
        return Shards.over(Arena.own(path))

    @staticmethod
    def over(arena: Arena) -> Shards:
        """The table in a mapping that others use; nothing in it changes."""
        header = layout.read(arena, KIND, LAYOUT)
        if header.geometry[0] != SHARDS or arena.size < _SHARDS_AT + 2 * SHARDS:
            raise ShmError(f"{arena.path} has a header that contradicts itself")
        return Shards(arena)

    def owner(self, call_id_hash: int) -> int:
        """The worker of a Call-ID."""
        return self.arena.u16(_SHARDS_AT + 2 * (call_id_hash & _MASK))

    def move(self, shard: int, worker: int) -> None:
        """Give one shard to a worker."""
        if not 0 <= shard < SHARDS:
            raise ShmError(f"there is no shard {shard}")
        self.arena.put_u16(_SHARDS_AT + 2 * shard, worker)

    def spread(self, workers: list[int]) -> None:
        """Give the shards to these workers in turn."""
        for shard in range(SHARDS):
            self.move(shard, workers[shard % len(workers)])

    def copy(self) -> Shards:
        """The table as it is now, for this process alone."""
        copied = Shards.create(None, 1)
        copied.spread([self.owner(shard) for shard in range(SHARDS)])
        return copied

    @property
    def count(self) -> int:
        """How many shards there are."""
        return SHARDS
