"""Taking back what dead writers leaked, and saying whether a table is whole."""

from __future__ import annotations

from proxy.errors import LockTimeout, ShmError
from proxy.shm import attach, layout
from proxy.shm.arena import BUSY, OWNER_DIED, Arena
from proxy.shm.layout import Report
from proxy.shm.table import Table

_FREE = layout.FREE
_LIVE = layout.LIVE
_MAX_CHAIN = layout.MAX_CHAIN
_NEXT = layout.NEXT
_STATE = layout.STATE
_HASH = layout.HASH
_UNITS = layout.UNITS
_LINE = layout.LINE
_BESIDE = layout.BESIDE_LOCK
_COUNT = layout.BESIDE_LOCK + 4
_UNITS_SUM = layout.BESIDE_LOCK + 8
_PAGE = layout.PAGE_BYTES
_CLASSES = len(layout.SLOT_SIZES)
_LISTS = layout.LISTS
_BUSY = BUSY
_OWNER_DIED = OWNER_DIED
_RECOVERED_AT = layout.OWN_WORDS + 24

KINDS = (b"location", b"dialog", b"table")
_KIND = 16  # where its name stands in a file
_PATIENCE_NS = 2_000_000_000  # a check is in no hurry


def scavenge(table: Table, budget: int = 1000) -> int:
    """Mend the locks of the dead, then look at about `budget` slots; how many were leaked.

    And give the pages that have become empty to whoever needs one, when there is none left.
    """
    mend_locks(table)
    table.slabs.release_pages()
    slabs = table.slabs
    arena = table.arena
    page = table.scavenge_cursor
    found = 0
    seen = 0
    visited = 0
    while seen < budget and visited < slabs.page_count:
        visited += 1
        size_class = slabs.page_class(page)
        if size_class >= 0:
            size = slabs.size_of(size_class)
            at = slabs.pages_at + page * _PAGE
            end = at + _PAGE
            while at + size <= end:
                if arena.u32(at + _STATE) != _FREE and _recover(table, at):
                    found += 1
                seen += 1
                at += size
        page += 1
        if page == slabs.page_count:
            page = 0
            table.recount()
    table.scavenge_cursor = page
    if found:
        arena.add_u64(_RECOVERED_AT, found)
    return found


def mend_locks(table: Table) -> int:
    """Take over every lock whose holder died, without waiting for any; how many there were."""
    mended = 0
    for size_class in range(_CLASSES):
        for free_list in range(_LISTS):
            if table.slabs.mend(size_class, free_list):
                mended += 1
    for stripe in range(table.stripe_mask + 1):
        at = table.stripes_at + stripe * _LINE
        got = table.arena.try_lock(at)
        if got == _BUSY:
            continue
        try:
            if got == _OWNER_DIED:
                table.take_over(stripe)
                mended += 1
        finally:
            table.arena.unlock(at)
    return mended


def _recover(table: Table, at: int) -> bool:
    """Free a slot that is in use by nobody: under its stripe's lock, not free and not linked."""
    hash32 = table.arena.u32(at + _HASH)
    if _linked(table, at, hash32):
        return False
    stripe = hash32 & table.stripe_mask
    try:
        table.acquire(stripe)
    except LockTimeout:
        return False
    try:
        if (
            table.arena.u32(at + _STATE) == _FREE
            or table.arena.u32(at + _HASH) != hash32
            or _linked(table, at, hash32)
        ):
            return False
        return table.retire(at, hash32)
    finally:
        table.arena.unlock(table.stripe_at(hash32))


def _linked(table: Table, at: int, hash32: int) -> bool:
    here = table.slabs.follow(table.bucket_at(hash32))
    steps = 0
    while here != 0 and here != at and steps < _MAX_CHAIN and table.slabs.slot_size(here):
        here = table.slabs.follow(here + _NEXT)
        steps += 1
    return here == at


def _moved(table: Table, at: int) -> bool:
    hash32 = table.arena.u32(at + _HASH)
    table.acquire(hash32 & table.stripe_mask)
    try:
        return (
            table.arena.u32(at + _STATE) == _FREE
            or table.arena.u32(at + _HASH) != hash32
            or _linked(table, at, hash32)
        )
    finally:
        table.arena.unlock(table.stripe_at(hash32))


def check(path: str) -> Report:
    """Examine a table file, beside a running server too; an unused one is not changed."""
    try:
        arena = Arena.peek(path)
        in_use = False
    except ShmError as error:
        if "in use" not in str(error):
            raise
        arena = Arena.join(path)
        arena.lock_wait_ns = _PATIENCE_NS
        in_use = True
    kind = arena.copy(_KIND, 16).rstrip(b"\0")
    header = layout.read(arena, kind if kind in KINDS else KINDS[0], layout.TABLE_LAYOUT)
    table = attach.open_table(Table, arena, header)
    return _report(table, in_use, in_use or header.clean)


def examine(table: Table) -> Report:
    """The same invariants on an attached table, stripe by stripe under its lock."""
    return _report(table, True, True)


def _report(table: Table, locking: bool, settled: bool) -> Report:
    kept = bytearray((table.arena.size >> 5) + 1)
    faults: list[str] = []
    records, units = _examine_stripes(table, kept, faults, locking, settled)
    # After a crash of everybody, lists and counts may be one step behind: attaching renews them.
    free = _examine_lists(table, kept, faults if settled else [], locking)
    slots, leaked = _examine_pages(table, kept, locking)
    return Report(
        kind=table.arena.copy(_KIND, 16).rstrip(b"\0").decode(),
        records=records,
        units=units,
        free=free,
        leaked=leaked,
        slots=slots,
        used_bytes=table.used_bytes,
        capacity=table.capacity,
        in_use=locking,
        faults=faults,
    )


def _examine_stripes(
    table: Table, kept: bytearray, faults: list[str], locking: bool, counts: bool
) -> tuple[int, int]:
    all_records = 0
    all_units = 0
    for stripe in range(table.stripe_mask + 1):
        stripe_at = table.stripes_at + stripe * _LINE
        if locking:
            table.acquire(stripe)
        try:
            records = 0
            units = 0
            for bucket in range(stripe, table.bucket_mask + 1, table.stripe_mask + 1):
                in_chain = _examine_chain(table, bucket, kept, faults)
                records += in_chain[0]
                units += in_chain[1]
            if counts and (
                table.arena.u32(stripe_at + _COUNT) != records
                or table.arena.u64(stripe_at + _UNITS_SUM) != units
            ):
                faults.append(f"stripe {stripe} counts other records than it has")
        finally:
            if locking:
                table.arena.unlock(stripe_at)
        all_records += records
        all_units += units
    return all_records, all_units


def _examine_chain(
    table: Table, bucket: int, kept: bytearray, faults: list[str]
) -> tuple[int, int]:
    records = 0
    units = 0
    steps = 0
    keys = set()
    at = table.slabs.follow(table.bucket_at(bucket))
    while at != 0:
        if not table.sound(at, bucket):
            faults.append(f"bucket {bucket}: the record at {at} is damaged")
            break
        if steps > _MAX_CHAIN:  # a sound record can only be in its own bucket, so it is a loop
            faults.append(f"bucket {bucket}: its chain has no end")
            break
        steps += 1
        kept[at >> 5] = 1
        key = table.key_at(at)
        if key in keys:
            faults.append(f"bucket {bucket}: two records have the key {key!r}")
        keys.add(key)
        records += 1
        units += table.arena.u32(at + _UNITS)
        at = table.slabs.follow(at + _NEXT)
    return records, units


def _examine_lists(table: Table, kept: bytearray, faults: list[str], locking: bool) -> int:
    slabs = table.slabs
    arena = table.arena
    free = 0
    for size_class in range(_CLASSES):
        size = slabs.size_of(size_class)
        for free_list in range(_LISTS):
            lock_at = slabs.lock_of(size_class, free_list)
            if locking:
                slabs.acquire(size_class, free_list)
            try:
                at = slabs.follow(lock_at + _BESIDE)
                while at != 0:
                    if slabs.slot_size(at) != size or arena.u32(at + _STATE) != _FREE:
                        faults.append(f"a free list of {size} leads to {at}, which is not free")
                        break
                    if kept[at >> 5] == 2:
                        faults.append(f"the slot at {at} is free twice")
                        break
                    kept[at >> 5] = 2
                    free += 1
                    at = slabs.follow(at + _NEXT)
            finally:
                if locking:
                    arena.unlock(lock_at)
    return free


def _examine_pages(table: Table, kept: bytearray, locking: bool) -> tuple[int, int]:
    """All slots there are, and those that are in no chain and on no list.

    Beside busy writers a slot may have moved since; what is leaked stays so and is looked at again.
    """
    slabs = table.slabs
    slots = 0
    leaked = 0
    for page in range(slabs.page_count):
        size_class = slabs.page_class(page)
        if size_class < 0:
            continue
        size = slabs.size_of(size_class)
        at = slabs.pages_at + page * _PAGE
        end = at + _PAGE
        while at + size <= end:
            slots += 1
            if not kept[at >> 5] and not (locking and _moved(table, at)):
                leaked += 1
            at += size
    return slots, leaked
