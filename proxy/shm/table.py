"""A hash table of records in shared memory: any process may die at any instruction.

A record is written whole into a free slot and then linked by one store, so it is there or not.
Writers hold the robust lock of the record's stripe of buckets. Readers hold nothing: a stripe's
epoch moves before any slot of it is reused, so what was copied under one epoch is as it was linked.
"""

from __future__ import annotations

from proxy.errors import ShmError, TableFull
from proxy.shm import layout
from proxy.shm.arena import Arena, fold
from proxy.shm.slabs import Slabs

_LIVE = layout.LIVE
_MAX_CHAIN = layout.MAX_CHAIN
_GENERATION = layout.GENERATION
_NEXT = layout.NEXT
_STATE = layout.STATE
_CHECKSUM = layout.CHECKSUM
_HASH = layout.HASH
_PAYLOAD_LENGTH = layout.PAYLOAD_LENGTH
_UNITS = layout.UNITS
_KEY_LENGTH = layout.KEY_LENGTH
_EXPIRES_AT = layout.EXPIRES_AT
_HEADER = layout.SLOT_HEADER
_LINE = layout.LINE
# A stripe's line: its lock, then these.
_EPOCH = layout.BESIDE_LOCK
_COUNT = layout.BESIDE_LOCK + 4
_UNITS_SUM = layout.BESIDE_LOCK + 8
# The header's words of a table; the page hint comes first.
_RECORDS_AT = layout.OWN_WORDS + 8
_REPAIRS_AT = layout.OWN_WORDS + 16
_RECOVERED_AT = layout.OWN_WORDS + 24
_BROKEN = 1  # no slot begins there
_RETRIES = 100


class Table:
    """Keys to payloads, both bytes; see docs/shared-memory.md for every byte of it."""

    KIND = b"table"

    def __init__(self, arena: Arena, geometry: tuple[int, ...], seed: int) -> None:
        (self.capacity, buckets, stripes, pages, stripes_at, lists_at, table_at, buckets_at) = (
            geometry[:8]
        )
        self.arena = arena
        self.bucket_mask = buckets - 1
        self.stripe_mask = stripes - 1
        self.stripes_at = stripes_at
        self.buckets_at = buckets_at
        self.seed = seed
        self.slabs = Slabs(arena, lists_at, table_at, geometry[8], pages)
        self.loaded: layout.Loaded | None = None
        self.scavenge_cursor = 0
        self._link_at = 0
        self._steps = 0

    # -- records ---------------------------------------------------------------------------------

    def snapshot(self, key: bytes) -> tuple[bytes | None, int]:
        """The payload of a key and the stamp of that very record; (None, 0) when absent."""
        hash32 = self.hash_of(key)
        epoch_at = self.stripe_at(hash32) + _EPOCH
        for _attempt in range(_RETRIES):
            epoch = self.arena.u32(epoch_at)
            at = self._find(key, hash32)
            if at == 0:
                if self.arena.unchanged(epoch_at, epoch):
                    return None, 0
                continue
            if at == _BROKEN:
                continue
            key_length = len(key)
            length = self.arena.u32(at + _PAYLOAD_LENGTH)
            if _HEADER + key_length + length > layout.PAGE_BYTES:
                continue
            payload = self.arena.copy(at + _HEADER + key_length, length)
            stamp = self._stamp(at)
            if self.arena.unchanged(epoch_at, epoch):
                return payload, stamp
        return self._snapshot_locked(key, hash32)

    def commit(
        self, key: bytes, stamp: int, payload: bytes | None, expires_at: int, units: int
    ) -> bool:
        """Replace the record that `stamp` names, or False when another one is there by now.

        Stamp 0 inserts; payload None deletes. TableFull and LockTimeout leave everything as it was.
        """
        hash32 = self.hash_of(key)
        stripe_at = self.stripe_at(hash32)
        self.acquire(hash32 & self.stripe_mask)
        try:
            return self._commit_locked(key, hash32, stamp, payload, expires_at, units)
        finally:
            self.arena.unlock(stripe_at)

    def expires_at(self, key: bytes) -> int:
        """When a record expires, in its writer's unit; 0 when absent."""
        for row in self._rows(self.hash_of(key) & self.bucket_mask, False, 0):
            if row[0] == key:
                expires_at: int = row[2]
                return expires_at
        return 0

    def scan(self, cursor: int, limit: int) -> tuple[list[tuple[bytes, bytes]], int]:
        """Records from `cursor` on, about `limit` of them, and the next cursor; 0 = begin, end."""
        found: list[tuple[bytes, bytes]] = []
        bucket = cursor
        end = min(bucket + 16 * limit + 64, self.bucket_mask + 1)
        while bucket < end and len(found) < limit:
            for row in self._rows(bucket, False, 0):
                found.append((row[0], row[1]))
            bucket += 1
        return found, 0 if bucket > self.bucket_mask else bucket

    def due(self, now: int, cursor: int, limit: int) -> tuple[list[bytes], int]:
        """Keys whose record expires at `now` or earlier; cursors as for scan()."""
        found: list[bytes] = []
        bucket = cursor
        end = min(bucket + 64 * limit + 4096, self.bucket_mask + 1)
        while bucket < end and len(found) < limit:
            for row in self._rows(bucket, True, now):
                found.append(row[0])
            bucket += 1
        return found, 0 if bucket > self.bucket_mask else bucket

    # -- figures ---------------------------------------------------------------------------------

    @property
    def count(self) -> int:
        """How many records there are."""
        return self._sum_counts()

    @property
    def units(self) -> int:
        """The sum of the records' units."""
        lines = range(self.stripes_at, self.stripes_at + (self.stripe_mask + 1) * _LINE, _LINE)
        return sum(self.arena.u64(line + _UNITS_SUM) for line in lines)

    @property
    def used_bytes(self) -> int:
        """Everything but the pages that no record ever needed."""
        owned = sum(self.slabs.page_class(page) >= 0 for page in range(self.slabs.page_count))
        return self.slabs.pages_at + owned * layout.PAGE_BYTES

    @property
    def file_bytes(self) -> int:
        """The size of the file."""
        return self.arena.size

    @property
    def repairs(self) -> int:
        """How many locks were taken over from processes that died holding them."""
        return self.arena.u64(_REPAIRS_AT)

    @property
    def leaks_recovered(self) -> int:
        """How many slots of dead writers the scavenger took back."""
        return self.arena.u64(_RECOVERED_AT)

    def close(self, clean: bool = False) -> None:
        """Unmap; `clean` when every other process has already left."""
        if clean:
            layout.set_clean(self.arena, True)
        self.arena.close()

    # -- inside ----------------------------------------------------------------------------------

    def hash_of(self, key: bytes) -> int:
        """The keyed 32-bit hash that chooses stripe and bucket."""
        return fold(key, self.seed) & 0xFFFFFFFF

    def stripe_at(self, hash32: int) -> int:
        """Where the lock line of a hash's stripe lies."""
        return self.stripes_at + (hash32 & self.stripe_mask) * _LINE

    def bucket_at(self, hash32: int) -> int:
        """Where the head of a hash's bucket lies."""
        return self.buckets_at + (hash32 & self.bucket_mask) * 4

    def acquire(self, stripe: int) -> int:
        """Take a stripe's lock, repairing what a dead holder left. LockTimeout when it is busy."""
        at = self.stripes_at + stripe * _LINE
        if self.arena.lock(at):
            self.take_over(stripe)
        return 0

    def take_over(self, stripe: int) -> int:
        """Repair the stripe whose lock was got from a dead holder."""
        self.repair(stripe)
        self.arena.adopt(self.stripes_at + stripe * _LINE)
        self.arena.add_u64(_REPAIRS_AT, 1)
        return 0

    def _snapshot_locked(self, key: bytes, hash32: int) -> tuple[bytes | None, int]:
        """A reader that lost a hundred races, or met damage, reads as a writer would."""
        stripe_at = self.stripe_at(hash32)
        self.acquire(hash32 & self.stripe_mask)
        try:
            at = self._find_locked(key, hash32)
            if at == 0:
                return None, 0
            payload = self.arena.copy(at + _HEADER + len(key), self.arena.u32(at + _PAYLOAD_LENGTH))
            stamp = self._stamp(at)
            return payload, stamp
        finally:
            self.arena.unlock(stripe_at)

    def _commit_locked(
        self,
        key: bytes,
        hash32: int,
        stamp: int,
        payload: bytes | None,
        expires_at: int,
        units: int,
    ) -> bool:
        at = self._find_locked(key, hash32)
        link_at = self._link_at
        if at == 0:
            if stamp != 0:
                return False
            if payload is None:
                return True
            self._admit()
            fresh = self._write(key, hash32, payload, expires_at, units)
            link_at = self.bucket_at(hash32)
            self.arena.put_u32(fresh + _NEXT, self.arena.u32(link_at))
            self.arena.put_u32(fresh + _STATE, _LIVE)
            self.arena.put_u32(link_at, fresh >> 5)  # here the record begins to exist
            self._tally(hash32, 1, units)
            return True
        if self._stamp(at) != stamp:
            return False
        old_units = self.arena.u32(at + _UNITS)
        follows = self.arena.u32(at + _NEXT)
        if payload is None:
            self.arena.put_u32(link_at, follows)  # here it ceases to exist
            self._tally(hash32, -1, -old_units)
        else:
            fresh = self._write(key, hash32, payload, expires_at, units)
            self.arena.put_u32(fresh + _NEXT, follows)
            self.arena.put_u32(fresh + _STATE, _LIVE)
            self.arena.put_u32(link_at, fresh >> 5)  # here the new one replaces the old
            if units != old_units:
                self._tally(hash32, 0, units - old_units)
        self.retire(at, hash32)
        return True

    def _admit(self) -> int:
        """TableFull at capacity. The quick counter may drift when a writer dies; the sum cannot."""
        if self.arena.u64(_RECORDS_AT) >= self.capacity:
            self.recount()
            if self.arena.u64(_RECORDS_AT) >= self.capacity:
                raise TableFull(f"{self.arena.path} holds its {self.capacity} records")
        if self._steps >= _MAX_CHAIN - 1:
            raise TableFull(f"{self.arena.path} has a bucket of {_MAX_CHAIN} records")
        return 0

    def _write(self, key: bytes, hash32: int, payload: bytes, expires_at: int, units: int) -> int:
        """A claimed slot holding the record, not yet linked."""
        key_length = len(key)
        length = len(payload)
        at = self.slabs.take(_HEADER + key_length + length, hash32)
        self.arena.put_u32(at + _PAYLOAD_LENGTH, length)
        self.arena.put_u32(at + _UNITS, units)
        self.arena.put_u32(at + _KEY_LENGTH, key_length)
        self.arena.put_u64(at + _EXPIRES_AT, expires_at)
        self.arena.put(at + _HEADER, key)
        self.arena.put(at + _HEADER + key_length, payload)
        self.arena.put_u32(at + _CHECKSUM, self.checksum(at, key_length + length))
        return at

    def checksum(self, at: int, length: int) -> int:
        """The checksum of the record at `at`, whose key and payload have that length."""
        return self.arena.fold(at + _HASH, _HEADER - _HASH + length, self.seed) & 0xFFFFFFFF

    def _tally(self, hash32: int, records: int, units: int) -> int:
        stripe_at = self.stripe_at(hash32)
        if records != 0:
            self.arena.put_u32(stripe_at + _COUNT, self.arena.u32(stripe_at + _COUNT) + records)
            self.arena.add_u64(_RECORDS_AT, records)
        self.arena.put_u64(stripe_at + _UNITS_SUM, self.arena.u64(stripe_at + _UNITS_SUM) + units)
        return 0

    def retire(self, at: int, hash32: int) -> bool:
        """Give back a slot that is no longer linked; the stripe's lock is held."""
        epoch_at = self.stripe_at(hash32) + _EPOCH
        self.arena.put_u32(epoch_at, (self.arena.u32(epoch_at) + 1) & 0xFFFFFFFF)
        return self.slabs.give(at)

    def _stamp(self, at: int) -> int:
        stamp = self.arena.u32(at + _GENERATION)
        return stamp << 32 | at >> 5

    def _find(self, key: bytes, hash32: int) -> int:
        """The slot of a key, 0 when absent, _BROKEN when the chain cannot be followed."""
        link_at = self.bucket_at(hash32)
        key_length = len(key)
        steps = 0
        at = self.slabs.follow(link_at)
        while at != 0:
            if steps == _MAX_CHAIN or self.slabs.slot_size(at) == 0:
                return _BROKEN
            if (
                self.arena.u32(at + _HASH) == hash32
                and self.arena.u32(at + _KEY_LENGTH) == key_length
                and self.arena.equals(at + _HEADER, key)
            ):
                break
            steps += 1
            link_at = at + _NEXT
            at = self.slabs.follow(link_at)
        self._link_at = link_at
        self._steps = steps
        return at

    def _find_locked(self, key: bytes, hash32: int) -> int:
        at = self._find(key, hash32)
        if at == _BROKEN:
            self.repair(hash32 & self.stripe_mask)
            at = self._find(key, hash32)
            if at == _BROKEN:
                raise ShmError(f"{self.arena.path}: a bucket is damaged beyond repair")
        return at

    def _rows(self, bucket: int, only_due: bool, now: int) -> list[tuple[bytes, bytes, int]]:
        epoch_at = self.stripe_at(bucket) + _EPOCH
        for _attempt in range(_RETRIES):
            epoch = self.arena.u32(epoch_at)
            rows = self._walk(bucket, only_due, now)
            if rows is not None and self.arena.unchanged(epoch_at, epoch):
                return rows
        self.acquire(bucket & self.stripe_mask)
        try:
            rows = self._walk(bucket, only_due, now)
            if rows is None:
                self.repair(bucket & self.stripe_mask)
                rows = self._walk(bucket, only_due, now)
            return rows or []
        finally:
            self.arena.unlock(self.stripe_at(bucket))

    def _walk(self, bucket: int, only_due: bool, now: int) -> list[tuple[bytes, bytes, int]] | None:
        rows: list[tuple[bytes, bytes, int]] = []
        at = self.slabs.follow(self.bucket_at(bucket))
        steps = 0
        while at != 0:
            size = self.slabs.slot_size(at)
            key_length = self.arena.u32(at + _KEY_LENGTH) if size else 0
            length = self.arena.u32(at + _PAYLOAD_LENGTH) if size else 0
            if steps == _MAX_CHAIN or _HEADER + key_length + length > size:
                return None
            if not only_due or self.arena.u64(at + _EXPIRES_AT) <= now:
                key = self.arena.copy(at + _HEADER, key_length)
                payload = b"" if only_due else self.arena.copy(at + _HEADER + key_length, length)
                rows.append((key, payload, self.arena.u64(at + _EXPIRES_AT)))
            steps += 1
            at = self.slabs.follow(at + _NEXT)
        return rows

    def recount(self) -> int:
        """Correct the quick counter from the stripes' exact ones."""
        self.arena.put_u64(_RECORDS_AT, self._sum_counts())
        return 0

    def _sum_counts(self) -> int:
        total = 0
        for stripe in range(self.stripe_mask + 1):
            total += self.arena.u32(self.stripes_at + stripe * _LINE + _COUNT)
        return total

    # -- repair of one stripe --------------------------------------------------------------------

    def repair(self, stripe: int) -> int:
        """Cut what cannot be trusted out of a stripe's chains and count it anew; lock held."""
        stripe_at = self.stripes_at + stripe * _LINE
        records = 0
        units = 0
        self.arena.put_u32(
            stripe_at + _EPOCH, (self.arena.u32(stripe_at + _EPOCH) + 1) & 0xFFFFFFFF
        )
        for bucket in range(stripe, self.bucket_mask + 1, self.stripe_mask + 1):
            self.mend_chain(bucket)
            at = self.slabs.follow(self.bucket_at(bucket))
            while at != 0:
                records += 1
                units += self.arena.u32(at + _UNITS)
                at = self.slabs.follow(at + _NEXT)
        self.arena.put_u32(stripe_at + _COUNT, records)
        self.arena.put_u64(stripe_at + _UNITS_SUM, units)
        return 0

    def mend_chain(self, bucket: int) -> int:
        """Unlink every record that is not sound, and what lies behind a broken link; how many."""
        link_at = self.bucket_at(bucket)
        steps = 0
        dropped = 0
        at = self.slabs.follow(link_at)
        while at != 0:
            if self.sound(at, bucket):
                link_at = at + _NEXT
            else:
                follows = self.arena.u32(at + _NEXT) if self.slabs.slot_size(at) else 0
                self.arena.put_u32(link_at, follows)
                dropped += 1
            steps += 1
            if steps > 2 * _MAX_CHAIN:
                self.arena.put_u32(self.bucket_at(bucket), 0)
                return dropped + 1
            at = self.slabs.follow(link_at)
        return dropped

    def key_at(self, at: int) -> bytes:
        """The key of the record in a slot."""
        return self.arena.copy(at + _HEADER, self.arena.u32(at + _KEY_LENGTH))

    def sound(self, at: int, bucket: int) -> bool:
        """Does a whole record of that bucket stand at `at`?"""
        size = self.slabs.slot_size(at)
        if size == 0 or self.arena.u32(at + _STATE) != _LIVE:
            return False
        key_length = self.arena.u32(at + _KEY_LENGTH)
        length = self.arena.u32(at + _PAYLOAD_LENGTH)
        if _HEADER + key_length + length > size:
            return False
        if self.arena.u32(at + _HASH) & self.bucket_mask != bucket:
            return False
        return self.arena.u32(at + _CHECKSUM) == self.checksum(at, key_length + length)
