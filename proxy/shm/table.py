"""A hash table of records in shared memory: any process may die at any instruction.

A record is written whole into a free slot and then linked by one store, so it is there or not.
Writers hold the robust lock of the record's stripe of buckets. Readers hold nothing: a stripe's
epoch moves before any slot of it is reused, so what was copied under one epoch is as it was linked.
"""

from __future__ import annotations

from proxy.errors import TableFull
from proxy.shm import layout
from proxy.shm.arena import Arena
from proxy.shm.chains import Chains

_LOW = 0xFFFFFFFF  # a literal as large would be a Python number when compiled
_LIVE = layout.LIVE
_MAX_CHAIN = layout.MAX_CHAIN
_NEXT = layout.NEXT
_STATE = layout.STATE
_CHECKSUM = layout.CHECKSUM
_PAYLOAD_LENGTH = layout.PAYLOAD_LENGTH
_UNITS = layout.UNITS
_KEY_LENGTH = layout.KEY_LENGTH
_EXPIRES_AT = layout.EXPIRES_AT
_HEADER = layout.SLOT_HEADER
_LINE = layout.LINE
_PAGE = layout.PAGE_BYTES
# A stripe's line: its lock, then these.
_EPOCH = layout.BESIDE_LOCK
_COUNT = layout.BESIDE_LOCK + 4
_UNITS_SUM = layout.BESIDE_LOCK + 8
# The header's words of a table; the page hint comes first.
_RECORDS_AT = layout.OWN_WORDS + 8
_REPAIRS_AT = layout.OWN_WORDS + 16
_RECOVERED_AT = layout.OWN_WORDS + 24
_TOUCHED_AT = layout.OWN_WORDS + 32
_BROKEN = 1  # no slot begins there
_RETRIES = 100
_WARMED = 7 * _LINE  # of a record: what most of them need
_AHEAD = 32  # buckets whose records are asked for together


class Table(Chains):
    """Keys to payloads, both bytes; see docs/shared-memory.md for every byte of it."""

    KIND = b"table"

    def __init__(self, arena: Arena, geometry: tuple[int, ...], seed: int) -> None:
        super().__init__(arena, geometry, seed)
        self.loaded: layout.Loaded | None = None
        self.scavenge_cursor = 0
        self.committed = 0  # the stamp of the record that the last commit wrote
        self.seen = 0  # of the one that read() has read last

    # -- records ---------------------------------------------------------------------------------

    def snapshot(self, key: bytes) -> tuple[bytes | None, int]:
        """The payload of a key and the stamp of that very record; (None, 0) when absent."""
        return self.read(key), self.seen

    def read(self, key: bytes) -> bytes | None:
        """The payload of a key, None when absent; `seen` is the stamp of that very record."""
        hash32 = self.hash_of(key)
        epoch_at = self.stripe_at(hash32) + _EPOCH
        for _attempt in range(_RETRIES):
            epoch = self.arena.u32(epoch_at)
            at = self._find(key, hash32)
            if at == 0:
                if self.arena.unchanged(epoch_at, epoch):
                    self.seen = 0
                    return None
                continue
            if at == _BROKEN:
                continue
            key_length = len(key)
            length = self.arena.u32(at + _PAYLOAD_LENGTH)
            if _HEADER + key_length + length > _PAGE:
                continue
            payload = self.arena.copy(at + _HEADER + key_length, length)
            self.seen = self._stamp(at)
            if self.arena.unchanged(epoch_at, epoch):
                return payload
        return self._read_locked(key, hash32)

    def warm(self, keys: list[bytes]) -> int:
        """Ask for the memory of records that are read next: what other cores wrote takes its time.

        All of it comes while the first ones are read, and none is waited for.
        """
        for key in keys:
            hash32 = self.hash_of(key)
            self.arena.warm(self.stripe_at(hash32), _LINE)
            self.arena.warm(self.bucket_at(hash32), 4)
        for key in keys:
            self._warm_first(self.hash_of(key))
        return 0

    def _warm_first(self, bucket: int) -> int:
        """The same for the first record of a bucket, which for most is the only one."""
        at = self.slabs.follow(self.bucket_at(bucket))
        if at != 0 and at <= self.arena.size - _WARMED:
            self.arena.warm(at, _WARMED)
        return 0

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
        warmed = bucket
        while bucket < end and len(found) < limit:
            if bucket == warmed:
                while warmed < end and warmed < bucket + _AHEAD:
                    self._warm_first(warmed)
                    warmed += 1
            for row in self._rows(bucket, False, 0):
                found.append((row[0], row[1]))
            bucket += 1
        return found, 0 if bucket > self.bucket_mask else bucket

    def scan_stripe(self, stripe: int) -> list[tuple[bytes, bytes]]:
        """All records of one stripe: what a note of a whole stripe asks its readers to compare."""
        found: list[tuple[bytes, bytes]] = []
        for bucket in range(stripe, self.bucket_mask + 1, self.stripe_mask + 1):
            for row in self._rows(bucket, False, 0):
                found.append((row[0], row[1]))
        return found

    def due(self, now: int, cursor: int, limit: int) -> tuple[list[bytes], int]:
        """Keys whose record expires at `now` or earlier; cursors as for scan()."""
        found: list[bytes] = []
        bucket = cursor
        end = min(bucket + 64 * limit + 1024, self.bucket_mask + 1)
        while bucket < end and len(found) < limit:
            if self._may_be_due(bucket, now):
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

    @property
    def touched_at(self) -> int:
        """Until when, in wall seconds, nothing can have changed without this table knowing.

        0 when the machine has been started since: the newest pages may be lost.
        """
        loaded = self.loaded
        if loaded is None or not (loaded.was_clean or loaded.same_boot):
            return 0
        return self.arena.u64(_TOUCHED_AT)

    def touch(self, now: int) -> int:
        """Say that the table is in use now."""
        self.arena.put_u64(_TOUCHED_AT, now)
        return 0

    def close(self, clean: bool = False) -> None:
        """Unmap; `clean` when every other process has already left."""
        if clean:
            layout.set_clean(self.arena, True)
        self.arena.close()

    # -- inside ----------------------------------------------------------------------------------

    def _read_locked(self, key: bytes, hash32: int) -> bytes | None:
        """A reader that lost a hundred races, or met damage, reads as a writer would."""
        stripe_at = self.stripe_at(hash32)
        self.acquire(hash32 & self.stripe_mask)
        try:
            at = self._find_locked(key, hash32)
            self.seen = self._stamp(at) if at else 0
            if at == 0:
                return None
            return self.arena.copy(at + _HEADER + len(key), self.arena.u32(at + _PAYLOAD_LENGTH))
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
            fresh = self._write(key, hash32, payload, expires_at, units, 0)
            link_at = self.bucket_at(hash32)
            self.arena.put_u32(fresh + _NEXT, self.arena.u32(link_at))
            self.arena.put_u32(fresh + _STATE, _LIVE)
            self.arena.put_u32(link_at, fresh >> 5)  # here the record begins to exist
            self.committed = self._stamp(fresh)
            if self.changes is not None:
                self.changed_at = self.changes.note(self.table_id, key)
            self._tally(hash32, 1, units)
            return True
        if self._stamp(at) != stamp:
            return False
        old_units = self.arena.u32(at + _UNITS)
        follows = self.arena.u32(at + _NEXT)
        if payload is None:
            self.arena.put_u32(link_at, follows)  # here it ceases to exist
            if self.changes is not None:
                self.changed_at = self.changes.note(self.table_id, key)
            self._tally(hash32, -1, -old_units)
        else:
            old_size = self.slabs.slot_size(at)
            fresh = self._write(key, hash32, payload, expires_at, units, old_size)
            self.arena.put_u32(fresh + _NEXT, follows)
            self.arena.put_u32(fresh + _STATE, _LIVE)
            self.arena.put_u32(link_at, fresh >> 5)  # here the new one replaces the old
            self.committed = self._stamp(fresh)
            if self.changes is not None:
                self.changed_at = self.changes.note(self.table_id, key)
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

    def _write(
        self,
        key: bytes,
        hash32: int,
        payload: bytes,
        expires_at: int,
        units: int,
        replaces: int,
    ) -> int:
        """A claimed slot holding the record, not yet linked."""
        key_length = len(key)
        length = len(payload)
        at = self.slabs.take(_HEADER + key_length + length, hash32, replaces)
        self.arena.put_u32(at + _PAYLOAD_LENGTH, length)
        self.arena.put_u32(at + _UNITS, units)
        self.arena.put_u32(at + _KEY_LENGTH, key_length)
        self.arena.put_u64(at + _EXPIRES_AT, expires_at)
        self.arena.put(at + _HEADER, key)
        self.arena.put(at + _HEADER + key_length, payload)
        self.arena.put_u32(at + _CHECKSUM, self.checksum(at, key_length + length))
        return at

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
        self.arena.put_u32(epoch_at, (self.arena.u32(epoch_at) + 1) & _LOW)
        return self.slabs.give(at)

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

    def _may_be_due(self, bucket: int, now: int) -> bool:
        """A quick look without a lock: most buckets hold nothing, or nothing that is due.

        What changes meanwhile may be missed: the next look finds it.
        """
        at = self.slabs.follow(self.bucket_at(bucket))
        steps = 0
        while at != 0:
            if (
                steps == _MAX_CHAIN
                or self.slabs.slot_size(at) == 0
                or self.arena.u64(at + _EXPIRES_AT) <= now
            ):
                return True
            steps += 1
            at = self.slabs.follow(at + _NEXT)
        return False

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
