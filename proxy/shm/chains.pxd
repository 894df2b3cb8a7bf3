cimport cython
from libc.stdint cimport uint32_t, uint64_t

from proxy.shm.arena cimport Arena, fold
from proxy.shm.changes cimport ChangeRing
from proxy.shm.slabs cimport Slabs

cdef unsigned long long _LOW
cdef uint32_t _LIVE, _MAX_CHAIN
cdef size_t _GENERATION, _NEXT, _STATE, _CHECKSUM, _HASH, _PAYLOAD_LENGTH, _UNITS
cdef size_t _KEY_LENGTH, _HEADER, _EPOCH, _COUNT, _UNITS_SUM, _BROKEN, _LINE
cdef size_t _RECORDS_AT, _REPAIRS_AT


cdef class Chains:
    cdef readonly Arena arena
    cdef readonly Slabs slabs
    cdef readonly size_t stripes_at, buckets_at
    cdef readonly uint32_t stripe_mask, bucket_mask, capacity
    cdef readonly uint64_t seed
    cdef readonly ChangeRing changes
    cdef readonly uint32_t table_id
    cdef readonly uint64_t changed_at
    cdef size_t _link_at
    cdef uint32_t _steps

    cpdef uint32_t hash_of(self, bytes key)
    cpdef size_t stripe_at(self, uint32_t hash32)
    cpdef size_t bucket_at(self, uint32_t hash32)
    cpdef int acquire(self, uint32_t stripe) except -1
    cpdef int take_over(self, uint32_t stripe) except -1
    @cython.locals(at="size_t", link_at="size_t", steps="uint32_t", key_length="size_t")
    cdef size_t _find(self, bytes key, uint32_t hash32) except? 2
    @cython.locals(at="size_t")
    cdef size_t _find_locked(self, bytes key, uint32_t hash32) except? 2
    @cython.locals(stamp="uint64_t")
    cdef uint64_t _stamp(self, size_t at) except? 0
    cpdef bytes key_at(self, size_t at)
    cpdef uint32_t checksum(self, size_t at, size_t length) except? 0
    @cython.locals(key_length="size_t", length="size_t", size="size_t")
    cpdef bint sound(self, size_t at, uint32_t bucket) except -1
    @cython.locals(bucket="uint32_t", at="size_t", records="uint32_t", units="uint64_t",
                   stripe_at="size_t")
    cpdef int repair(self, uint32_t stripe) except -1
    @cython.locals(link_at="size_t", at="size_t", steps="uint32_t", dropped="int",
                   follows="uint32_t")
    cpdef int mend_chain(self, uint32_t bucket) except -1
    cpdef int recount(self) except -1
    @cython.locals(stripe="Py_ssize_t", total="uint64_t")
    cdef uint64_t _sum_counts(self) except? 1
