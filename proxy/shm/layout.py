"""What every shared file begins with, and the byte offsets that more than one module needs.

docs/shared-memory.md draws all of it. A file that does not match exactly is refused with a
sentence; the caller renames it and starts an empty one.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from proxy.errors import ShmError
from proxy.shm.arena import Arena, fold

MAGIC: Final = b"SIPHERD\x00"
VERSION: Final = 1
HEADER_BYTES: Final = 4096
LINE: Final = 64  # a cache line

# Header, fixed part (checksummed).
_KIND: Final = 16
_LAYOUT: Final = 32
_FILE_SIZE: Final = 40
_CREATED_AT: Final = 48
_SEED: Final = 56
_GEOMETRY: Final = 64
_GEOMETRY_WORDS: Final = 16
_CHECKSUM: Final = 256
# Header, changing part.
_CLEAN: Final = 512
_EPOCH: Final = 516
_BOOT_ID: Final = 528
_BOOT_ID_BYTES: Final = 48
OWN_WORDS: Final = 576  # from here the header belongs to the kind of file

# The words beside a lock, in its cache line.
BESIDE_LOCK: Final = 48

# A slot of a table.
GENERATION: Final = 0
NEXT: Final = 4
STATE: Final = 8
CHECKSUM: Final = 12
HASH: Final = 16  # from here the checksum covers everything
PAYLOAD_LENGTH: Final = 20
UNITS: Final = 24
KEY_LENGTH: Final = 28
EXPIRES_AT: Final = 32
SLOT_HEADER: Final = 40

FREE: Final = 0  # zero, so that a fresh page is free as it comes
CLAIMED: Final = 0x434C4149
LIVE: Final = 0x4C495645

NOBODY: Final = 1 << 24  # the units of a location record in which nothing is live

REF_SHIFT: Final = 5  # a reference is a file offset in units of 32 bytes
PAGE_BYTES: Final = 65_536
LISTS: Final = 4  # free lists per size class
MAX_CHAIN: Final = 4_096

SLOT_SIZES: Final = tuple(
    [128]
    + [(1 << power) // 4 * (4 + quarter) for power in range(7, 16) for quarter in (1, 2, 3, 4)]
)

TABLE_LAYOUT: Final = (
    f"slot {SLOT_HEADER}: generation next state checksum hash payload_length units key_length "
    f"expires_at; ref >> {REF_SHIFT}; page {PAGE_BYTES}; lists {LISTS}; sizes {SLOT_SIZES}; "
    f"line {LINE}: lock {BESIDE_LOCK} then epoch count units, or head"
)
_STRIPES: Final = 1_024
_MIN_PAGES: Final = 32


class Header(NamedTuple):
    """The fixed part of a file, and how it was left."""

    geometry: tuple[int, ...]
    seed: int
    created_at: int
    boot_id: bytes
    clean: bool
    epoch: int


class Loaded(NamedTuple):
    """What attaching to a table found: records kept, dropped as damaged, slots taken back."""

    records: int
    dropped: int
    freed: int
    was_clean: bool
    same_boot: bool


class Report(NamedTuple):
    """What a check of a table file found."""

    kind: str
    records: int
    units: int
    free: int
    leaked: int
    slots: int
    used_bytes: int
    capacity: int
    in_use: bool
    faults: list[str]

    @property
    def ok(self) -> bool:
        """No damage, and every slot accounted for."""
        return not self.faults

    def figures(self) -> dict[str, int]:
        """What there is, in an operator's words."""
        found = {"records": self.records}
        if self.kind == "location":
            removed, contacts = divmod(self.units, NOBODY)
            found = {
                "users": self.records - removed,
                "contacts": contacts,
                "removed users": removed,
            }
        return {
            **found,
            "free": self.free,
            "leaked": self.leaked,
            "slots": self.slots,
            "used bytes": self.used_bytes,
            "capacity": self.capacity,
        }


def plan_table(capacity: int, bytes_per_record: int) -> tuple[tuple[int, ...], int]:
    """Where everything of a table lies, and the size of its file: at most the budget."""
    buckets = 64
    while buckets < capacity:
        buckets *= 2
    stripes = min(_STRIPES, buckets)
    stripes_at = HEADER_BYTES
    lists_at = stripes_at + stripes * LINE
    buckets_at = lists_at + len(SLOT_SIZES) * LISTS * LINE
    table_at = buckets_at + buckets * 4
    budget = capacity * bytes_per_record
    pages = max(_MIN_PAGES, (budget - table_at - 4096) // (PAGE_BYTES + 4))
    pages_at = (table_at + pages * 4 + 4095) & ~4095
    size = pages_at + pages * PAGE_BYTES
    if capacity < 1 or size >> REF_SHIFT > 0xFFFFFFFF:
        raise ShmError(f"a table of {capacity} records of {bytes_per_record} bytes is not possible")
    return (
        (capacity, buckets, stripes, pages, stripes_at, lists_at, table_at, buckets_at, pages_at)
        + (bytes_per_record,)
        + (0,) * 6
    ), size


def write(
    arena: Arena,
    kind: bytes,
    layout: str,
    geometry: tuple[int, ...],
    *,
    seed: int = 0,
    boot_id: bytes = b"",
    created_at: int = 0,
) -> None:
    """Begin a new file; the magic comes last, so that a half-made one is refused."""
    arena.put_u32(8, VERSION)
    arena.put(_KIND, kind.ljust(16, b"\0"))
    arena.put_u64(_LAYOUT, fold(layout.encode(), VERSION))
    arena.put_u64(_FILE_SIZE, arena.size)
    arena.put_u64(_CREATED_AT, created_at)
    arena.put_u64(_SEED, seed)
    for index, word in enumerate(geometry):
        arena.put_u64(_GEOMETRY + 8 * index, word)
    set_boot_id(arena, boot_id)
    arena.put(0, MAGIC)
    arena.put_u64(_CHECKSUM, arena.fold(0, _CHECKSUM, VERSION))


def read(arena: Arena, kind: bytes, layout: str) -> Header:
    """The header of an existing file, or a ShmError saying why it cannot be used."""
    path = arena.path
    if arena.size < HEADER_BYTES or arena.copy(0, 8) != MAGIC:
        raise ShmError(f"{path} is not a sipherd shared file")
    if arena.u32(8) != VERSION:
        raise ShmError(f"{path} has layout version {arena.u32(8)}, this program needs {VERSION}")
    if arena.u64(_CHECKSUM) != arena.fold(0, _CHECKSUM, VERSION):
        raise ShmError(f"{path} has a damaged header: its checksum is wrong")
    if arena.copy(_KIND, 16).rstrip(b"\0") != kind:
        raise ShmError(f"{path} holds something else than {kind.decode()}")
    if arena.u64(_LAYOUT) != fold(layout.encode(), VERSION):
        raise ShmError(f"{path} was written by a program with another record layout")
    if arena.u64(_FILE_SIZE) != arena.size:
        raise ShmError(f"{path} has {arena.size} bytes instead of {arena.u64(_FILE_SIZE)}")
    words = range(_GEOMETRY, _GEOMETRY + 8 * _GEOMETRY_WORDS, 8)
    return Header(
        geometry=tuple(arena.u64(word) for word in words),
        seed=arena.u64(_SEED),
        created_at=arena.u64(_CREATED_AT),
        boot_id=arena.copy(_BOOT_ID, _BOOT_ID_BYTES).rstrip(b"\0"),
        clean=arena.u32(_CLEAN) == 1,
        epoch=arena.u32(_EPOCH),
    )


def set_boot_id(arena: Arena, boot_id: bytes) -> None:
    """Remember which run of the machine the file belongs to."""
    arena.put(_BOOT_ID, boot_id[:_BOOT_ID_BYTES].ljust(_BOOT_ID_BYTES, b"\0"))


def set_clean(arena: Arena, clean: bool) -> None:
    """Say whether everybody left in good order; opening a file for use counts its epoch up."""
    arena.put_u32(_CLEAN, 1 if clean else 0)
    if not clean:
        arena.put_u32(_EPOCH, (arena.u32(_EPOCH) + 1) & 0xFFFFFFFF)
