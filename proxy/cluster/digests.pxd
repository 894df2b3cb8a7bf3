cimport cython
from proxy.shm.mixing cimport fnv1a, mix

cdef unsigned int _BUCKET_MASK
cdef unsigned long long _ALL

cpdef unsigned long long hash_bytes(bytes data, unsigned long long start) except? 0
cpdef unsigned long long part_stamp(
    unsigned long long identity, unsigned long long version, unsigned long long origin
) noexcept
cpdef int bucket_of(unsigned int table, bytes key) except -1
cpdef unsigned long long record_sum(
    unsigned long long key_hash, unsigned long long live, unsigned long long dead
) noexcept


@cython.final
cdef class Digests:
    cdef readonly object sums
    cdef readonly unsigned long long root
    cdef dict _live
    cdef dict _dead

    @cython.locals(name="unsigned long long", old_live="unsigned long long",
                   old_dead="unsigned long long", change="unsigned long long", bucket=int)
    cpdef bint note(
        self, unsigned int table, bytes key, unsigned long long live, unsigned long long dead
    ) except *
    cpdef clear(self)
