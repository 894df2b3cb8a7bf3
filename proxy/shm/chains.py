"""The chains of a table: finding, judging and mending what its buckets link.

A stripe is every 1024th bucket under one robust lock, with an epoch and counts beside it.
"""

from __future__ import annotations

from proxy.errors import ShmError
from proxy.shm import layout
from proxy.shm.arena import Arena, fold
from proxy.shm.changes import ChangeRing
from proxy.shm.slabs import Slabs

_LOW = 0xFFFFFFFF  # a literal as large would be a Python number when compiled
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
_HEADER = layout.SLOT_HEADER
_LINE = layout.LINE
# A stripe's line: its lock, then these.
_EPOCH = layout.BESIDE_LOCK
_COUNT = layout.BESIDE_LOCK + 4
_UNITS_SUM = layout.BESIDE_LOCK + 8
# The header's words of a table; the page hint comes first.
_RECORDS_AT = layout.OWN_WORDS + 8
_REPAIRS_AT = layout.OWN_WORDS + 16
_BROKEN = 1  # no slot begins there


class Chains:
    """Buckets, stripes and slots of one table; lock-free where not said otherwise."""

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
        self.changes: ChangeRing | None = None
        self.table_id = 0
        self.changed_at = 0
        self._link_at = 0
        self._steps = 0

    def note_changes(self, ring: ChangeRing, table_id: int) -> None:
        """From now on every commit is noted in `ring`; `changed_at` is where the last one was."""
        self.changes = ring
        self.table_id = table_id

    def hash_of(self, key: bytes) -> int:
        """The keyed 32-bit hash that chooses stripe and bucket."""
        return fold(key, self.seed) & _LOW

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
        if self.changes is not None:  # the dead holder may have committed and noted nothing
            self.changes.note_stripe(self.table_id, stripe)
        self.arena.adopt(self.stripes_at + stripe * _LINE)
        self.arena.add_u64(_REPAIRS_AT, 1)
        return 0

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
            if self.changes is not None:
                self.changes.note_stripe(self.table_id, hash32 & self.stripe_mask)
            at = self._find(key, hash32)
            if at == _BROKEN:
                raise ShmError(f"{self.arena.path}: a bucket is damaged beyond repair")
        return at

    def _stamp(self, at: int) -> int:
        stamp = self.arena.u32(at + _GENERATION)
        return stamp << 32 | at >> 5

    def key_at(self, at: int) -> bytes:
        """The key of the record in a slot."""
        return self.arena.copy(at + _HEADER, self.arena.u32(at + _KEY_LENGTH))

    def checksum(self, at: int, length: int) -> int:
        """The checksum of the record at `at`, whose key and payload have that length."""
        return self.arena.fold(at + _HASH, _HEADER - _HASH + length, self.seed) & _LOW

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

    def repair(self, stripe: int) -> int:
        """Cut what cannot be trusted out of a stripe's chains and count it anew; lock held."""
        stripe_at = self.stripes_at + stripe * _LINE
        records = 0
        units = 0
        self.arena.put_u32(stripe_at + _EPOCH, (self.arena.u32(stripe_at + _EPOCH) + 1) & _LOW)
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

    def recount(self) -> int:
        """Correct the quick counter from the stripes' exact ones."""
        self.arena.put_u64(_RECORDS_AT, self._sum_counts())
        return 0

    def _sum_counts(self) -> int:
        total = 0
        for stripe in range(self.stripe_mask + 1):
            total += self.arena.u32(self.stripes_at + stripe * _LINE + _COUNT)
        return total
