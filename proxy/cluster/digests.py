"""Digests: what this node holds as 4096 sums, each kept up to date by one addition per change.

The sum of a bucket is over the keys of its records, what is live in them and their tombstones, in
any order. Two nodes with the same sums hold the same; a bucket whose sums differ is sent whole.
Tombstones count because a node that lacks one is not safe from what it deletes. Nodes forget them
at slightly different times, and then send them to each other in vain for a moment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cython

from proxy.cluster.form import Form
from proxy.cluster.frames import Record
from proxy.cluster.stamps import Stamps
from proxy.shm.mixing import fnv1a, mix

if not cython.compiled:
    from proxy.shm.words import get_u64, put_u64

BUCKETS = 4096
SUMS_BYTES = 8 * BUCKETS
NEWS = 1  # what note() finds: the record is another
SAME_REST = 2  # it is, but what its last teller called the rest of it is not
_NEWS = NEWS
_SAME_REST = SAME_REST
_BUCKET_MASK = BUCKETS - 1
_ALL = 0xFFFFFFFFFFFFFFFF  # a literal as large would be a Python number when compiled


def hash_bytes(data: bytes, start: int) -> int:
    """FNV-1a of some bytes behind a number, mixed.

    The number is spread over all bits first: FNV would take it for a change of the first byte.
    """
    return mix(fnv1a(data, mix(start)))


def part_stamp(identity: int, version: int, origin: int) -> int:
    """The 64-bit stamp of one part of a record: changes whenever its version does."""
    return mix(mix(version ^ identity) ^ origin ^ identity)


def bucket_of(table: int, key: bytes) -> int:
    """The bucket of a key."""
    return hash_bytes(key, table) & _BUCKET_MASK


def record_sum(key_hash: int, live: int, dead: int) -> int:
    """What a record adds to the sum of its bucket; one that is not there adds nothing."""
    return mix(key_hash ^ live ^ mix(dead)) if live or dead else 0


class Digests:
    """The sums of one node's records, with what is known of each."""

    def __init__(self) -> None:
        self._sums = bytearray(SUMS_BYTES)  # little-endian
        self.root = 0
        self._live = Stamps()
        self._dead: dict[int, int] = {}  # only of records with tombstones

    def note(self, table: int, key: bytes, live: int, dead: int, rest: int = 0) -> int:
        """Take in what a record is now (0, 0: gone); whether that is news, NEWS or SAME_REST.

        A rest other than 0 is of a state that every peer is told.
        """
        return self.put(hash_bytes(key, table), live, dead, rest)

    def warm(self, name: int) -> int:
        """Ask for the memory of what is known under the hash of a key."""
        self._live.warm(name)
        return 0

    def expect(self, records: Sequence[Record]) -> int:
        """The same for records that are taken in next."""
        for record in records:
            table, key, _ = record
            self._live.warm(hash_bytes(key, table))
        return 0

    def put(self, name: int, live: int, dead: int, rest: int) -> int:
        """Take in what the record with this hash of its key is now, as note() does."""
        stamps = self._live
        at = stamps.find(name)
        old_live = stamps.value_at(at)
        old_dead = self._dead.get(name, 0) if self._dead else 0
        if old_live == live and old_dead == dead:
            return 0
        found = _SAME_REST if rest and stamps.rest_at(at) == rest else _NEWS
        stamps.put_at(at, name, live, rest)
        if dead:
            self._dead[name] = dead
        elif old_dead:
            del self._dead[name]
        change = (record_sum(name, live, dead) - record_sum(name, old_live, old_dead)) & _ALL
        at = 8 * (name & _BUCKET_MASK)
        p = self._sums
        put_u64(p, at, (get_u64(p, at) + change) & _ALL)
        self.root = (self.root + change) & _ALL
        return found

    def knows(self, table: int, key: bytes, live: int, dead: int) -> bool:
        """Whether a record is as it was when it was last taken in."""
        name = hash_bytes(key, table)
        return self._live.get(name) == live and self._dead.get(name, 0) == dead

    def learn(self, forms: Mapping[int, Form], records: Sequence[Record]) -> None:
        """Take in some records; not every peer has been told."""
        for record in records:
            table, key, body = record
            form = forms[table]
            form.look(body)
            self.note(table, key, form.live, form.dead)

    @property
    def sums(self) -> bytes:
        """The sums of all buckets, as little-endian numbers of 64 bits."""
        return bytes(self._sums)

    @property
    def count(self) -> int:
        """How many records have something live."""
        return self._live.count

    @property
    def tombstones(self) -> int:
        """How many records have a tombstone."""
        return len(self._dead)

    def differing(self, sums: bytes) -> bytes:
        """One byte per bucket: 1 where `sums` are not ours."""
        if len(sums) != SUMS_BYTES:
            raise ValueError(f"sums of {len(sums)} bytes")
        p = self._sums
        q = sums
        found = bytearray(BUCKETS)
        to = found
        for bucket in range(BUCKETS):
            to[bucket] = get_u64(p, 8 * bucket) != get_u64(q, 8 * bucket)
        return bytes(found)

    def clear(self) -> None:
        """Forget everything, before all is read again."""
        self._sums = bytearray(SUMS_BYTES)
        self.root = 0
        self._live = Stamps()
        self._dead.clear()
