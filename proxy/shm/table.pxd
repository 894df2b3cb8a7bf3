cimport cython
from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t

from proxy.shm.arena cimport Arena
from proxy.shm.slabs cimport Slabs

cdef uint32_t _LIVE, _MAX_CHAIN
cdef size_t _GENERATION, _NEXT, _STATE, _CHECKSUM, _HASH, _PAYLOAD_LENGTH, _UNITS
cdef size_t _KEY_LENGTH, _EXPIRES_AT, _HEADER, _EPOCH, _COUNT, _UNITS_SUM, _BROKEN
cdef size_t _RECORDS_AT, _REPAIRS_AT, _RECOVERED_AT, _LINE
cdef int _RETRIES


cdef class Table:
    cdef readonly Arena arena
    cdef readonly Slabs slabs
    cdef readonly size_t stripes_at, buckets_at
    cdef readonly uint32_t stripe_mask, bucket_mask, capacity
    cdef readonly uint64_t seed
    cdef public object loaded
    cdef public size_t scavenge_cursor
    cdef size_t _link_at
    cdef uint32_t _steps

    cpdef uint32_t hash_of(self, bytes key)
    @cython.locals(hash32="uint32_t", at="size_t", epoch_at="size_t", epoch="uint32_t",
                   attempt="int", key_length="size_t", length="size_t", payload="bytes",
                   stamp="uint64_t")
    cpdef tuple snapshot(self, bytes key)
    @cython.locals(at="size_t", stripe_at="size_t", payload="bytes", stamp="uint64_t")
    cdef tuple _snapshot_locked(self, bytes key, uint32_t hash32)
    @cython.locals(hash32="uint32_t", stripe_at="size_t")
    cpdef bint commit(self, bytes key, uint64_t stamp, bytes payload, uint64_t expires_at,
                      uint32_t units) except -1
    @cython.locals(at="size_t", fresh="size_t", link_at="size_t", follows="uint32_t",
                   old_units="int64_t", stripe_at="size_t")
    cdef bint _commit_locked(self, bytes key, uint32_t hash32, uint64_t stamp, bytes payload,
                             uint64_t expires_at, uint32_t units) except -1
    @cython.locals(at="size_t", key_length="size_t", length="size_t")
    cdef size_t _write(self, bytes key, uint32_t hash32, bytes payload, uint64_t expires_at,
                       uint32_t units) except 0
    cdef int _admit(self) except -1
    cpdef uint32_t checksum(self, size_t at, size_t length) except? 0
    @cython.locals(stripe_at="size_t")
    cdef int _tally(self, uint32_t hash32, int records, int64_t units) except -1
    cpdef bint retire(self, size_t at, uint32_t hash32) except -1
    @cython.locals(at="size_t", link_at="size_t", steps="uint32_t", key_length="size_t")
    cdef size_t _find(self, bytes key, uint32_t hash32) except? 2
    @cython.locals(at="size_t")
    cdef size_t _find_locked(self, bytes key, uint32_t hash32) except? 2
    @cython.locals(stamp="uint64_t")
    cdef uint64_t _stamp(self, size_t at) except? 0
    cpdef size_t stripe_at(self, uint32_t hash32)
    cpdef size_t bucket_at(self, uint32_t hash32)
    cpdef int acquire(self, uint32_t stripe) except -1
    cpdef int take_over(self, uint32_t stripe) except -1
    @cython.locals(bucket="uint32_t", at="size_t", records="uint32_t", units="uint64_t",
                   stripe_at="size_t")
    cpdef int repair(self, uint32_t stripe) except -1
    @cython.locals(link_at="size_t", at="size_t", steps="uint32_t", dropped="int",
                   follows="uint32_t")
    cpdef int mend_chain(self, uint32_t bucket) except -1
    cpdef bytes key_at(self, size_t at)
    cpdef int recount(self) except -1
    @cython.locals(key_length="size_t", length="size_t", size="size_t")
    cpdef bint sound(self, size_t at, uint32_t bucket) except -1
    @cython.locals(bucket="Py_ssize_t", end="Py_ssize_t")
    cpdef tuple scan(self, Py_ssize_t cursor, Py_ssize_t limit)
    @cython.locals(bucket="Py_ssize_t", end="Py_ssize_t")
    cpdef tuple due(self, uint64_t now, Py_ssize_t cursor, Py_ssize_t limit)
    @cython.locals(epoch_at="size_t", epoch="uint32_t", attempt="int", rows="list")
    cdef list _rows(self, uint32_t bucket, bint only_due, uint64_t now)
    @cython.locals(at="size_t", steps="uint32_t", key_length="size_t", length="size_t",
                   size="size_t", rows="list", key="bytes", payload="bytes")
    cdef list _walk(self, uint32_t bucket, bint only_due, uint64_t now)
    cpdef uint64_t expires_at(self, bytes key) except? 0
    @cython.locals(stripe="Py_ssize_t", total="uint64_t")
    cdef uint64_t _sum_counts(self) except? 1
