"""Making a table's file, and coming back to one: whatever state it is in, its sound records stay.

Chains are the truth about which records exist. What is in no chain was not yet committed or already
replaced, unless its bucket is damaged: then every sound record of that bucket counts.
"""

from __future__ import annotations

from typing import TypeVar

from proxy.errors import ShmError
from proxy.shm import layout
from proxy.shm.arena import Arena
from proxy.shm.table import Table

TableType = TypeVar("TableType", bound=Table)

_LIVE = layout.LIVE
_FREE = layout.FREE
_NEXT = layout.NEXT
_STATE = layout.STATE
_HASH = layout.HASH
_LINE = layout.LINE
_PAGE = layout.PAGE_BYTES
_CLASSES = len(layout.SLOT_SIZES)
_LISTS = layout.LISTS


def create(
    kind: type[TableType],
    path: str,
    capacity: int,
    bytes_per_record: int,
    *,
    seed: int,
    boot_id: bytes,
    created_at: int,
) -> TableType:
    """A new, empty table file, all of it allocated."""
    geometry, size = layout.plan_table(capacity, bytes_per_record)
    arena = Arena.create(path, size)
    table = kind(arena, geometry, seed)
    make_locks(table)
    layout.write(
        arena,
        kind.KIND,
        layout.TABLE_LAYOUT,
        geometry,
        seed=seed,
        boot_id=boot_id,
        created_at=created_at,
    )
    layout.set_clean(arena, False)
    return table


def attach(kind: type[TableType], path: str, boot_id: bytes) -> TableType:
    """The table of an existing file, verified and put in order; its owner's alone to call."""
    arena = Arena.own(path)
    header = layout.read(arena, kind.KIND, layout.TABLE_LAYOUT)
    table = open_table(kind, arena, header)
    layout.set_clean(arena, False)
    layout.set_boot_id(arena, boot_id)
    found = load(table)
    table.loaded = found._replace(was_clean=header.clean, same_boot=header.boot_id == boot_id)
    return table


def over(kind: type[TableType], arena: Arena) -> TableType:
    """The table in a mapping that others use; nothing in it changes."""
    return open_table(kind, arena, layout.read(arena, kind.KIND, layout.TABLE_LAYOUT))


def open_table(kind: type[TableType], arena: Arena, header: layout.Header) -> TableType:
    """A table object over a mapping whose header has been read; changes nothing."""
    planned, size = layout.plan_table(header.geometry[0], header.geometry[9])
    if planned != header.geometry or size != arena.size:
        raise ShmError(f"{arena.path} has a header that contradicts itself")
    return kind(arena, header.geometry, header.seed)


def make_locks(table: Table) -> int:
    """Initialise every lock; nobody else may have the file open."""
    for stripe in range(table.stripe_mask + 1):
        table.arena.make_lock(table.stripes_at + stripe * _LINE)
    for size_class in range(_CLASSES):
        for free_list in range(_LISTS):
            table.arena.make_lock(table.slabs.lock_of(size_class, free_list))
    return 0


def load(table: Table) -> layout.Loaded:
    """Verify every record, mend chains, rebuild free lists and counts."""
    kept = bytearray((table.arena.size >> 5) + 1)
    damaged = bytearray(table.bucket_mask + 1)
    make_locks(table)
    _clear_pages(table)
    dropped = _keep_reachable(table, kept, damaged)
    freed, adopted = _settle_slots(table, kept, damaged)
    for page in range(table.slabs.page_count):
        if table.slabs.page_class(page) >= 0:
            table.slabs.release(page)  # the lists are made anew
    for size_class in range(_CLASSES):
        for free_list in range(_LISTS):
            table.slabs.rebuild(size_class, free_list)
    for stripe in range(table.stripe_mask + 1):
        table.repair(stripe)
    table.recount()
    records = table.count
    lost = max(0, dropped - adopted)
    return layout.Loaded(records, lost, freed, was_clean=False, same_boot=False)


def _clear_pages(table: Table) -> int:
    """A page that nobody owns must be zero, because a zero slot is a free one."""
    slabs = table.slabs
    for page in range(slabs.page_count):
        if slabs.page_class(page) < 0:
            at = slabs.pages_at + page * _PAGE
            if not table.arena.is_zero(at, _PAGE):
                table.arena.zero(at, _PAGE)
            table.arena.put_u32(slabs.table_at + 4 * page, 0)
    table.arena.put_u32(slabs.hint_at, 0)
    return 0


def _keep_reachable(table: Table, kept: bytearray, damaged: bytearray) -> int:
    """Mark the slots of all chains, each once, cutting and noting the damage."""
    dropped = 0
    for bucket in range(table.bucket_mask + 1):
        bad = table.mend_chain(bucket)
        link_at = table.bucket_at(bucket)
        at = table.slabs.follow(link_at)
        while at != 0:
            if kept[at >> 5]:
                table.arena.put_u32(link_at, 0)
                bad += 1
                break
            kept[at >> 5] = 1
            link_at = at + _NEXT
            at = table.slabs.follow(link_at)
        if bad:
            dropped += bad
            damaged[bucket] = 1
    return dropped


def _settle_slots(table: Table, kept: bytearray, damaged: bytearray) -> tuple[int, int]:
    """Free what is in no chain, after taking back the sound records of damaged buckets."""
    slabs = table.slabs
    freed = 0
    adopted = 0
    for page in range(slabs.page_count):
        size_class = slabs.page_class(page)
        if size_class < 0:
            continue
        size = slabs.size_of(size_class)
        at = slabs.pages_at + page * _PAGE
        end = at + _PAGE
        while at + size <= end:
            state = table.arena.u32(at + _STATE)
            if state != _FREE and not kept[at >> 5]:
                bucket = table.arena.u32(at + _HASH) & table.bucket_mask
                if state == _LIVE and damaged[bucket] and _relink(table, at, bucket):
                    adopted += 1
                else:
                    table.arena.put_u32(at + _STATE, _FREE)
                    freed += 1
            at += size
    return freed, adopted


def _relink(table: Table, slot_at: int, bucket: int) -> bool:
    """Put a stray record back into its damaged chain unless its key is there already."""
    if not table.sound(slot_at, bucket):
        return False
    key = table.key_at(slot_at)
    at = table.slabs.follow(table.bucket_at(bucket))
    while at != 0:
        if table.key_at(at) == key:
            return False
        at = table.slabs.follow(at + _NEXT)
    table.arena.put_u32(slot_at + _NEXT, table.arena.u32(table.bucket_at(bucket)))
    table.arena.put_u32(table.bucket_at(bucket), slot_at >> 5)
    return True
