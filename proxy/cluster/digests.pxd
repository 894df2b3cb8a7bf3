cimport cython

from proxy.cluster.form cimport Form
from proxy.cluster.stamps cimport Stamps
from proxy.shm.mixing cimport fnv1a, mix
from proxy.shm.packed cimport get_u64, put_u64

cdef unsigned int _BUCKET_MASK
cdef int _NEWS, _SAME_REST
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
    cdef bytearray _sums
    cdef readonly unsigned long long root
    cdef Stamps _live
    cdef dict _dead

    cpdef int note(
        self, unsigned int table, bytes key, unsigned long long live, unsigned long long dead,
        unsigned long long rest=*
    ) except -1
    cpdef int warm(self, unsigned long long name) except -1
    @cython.locals(record=tuple, table="unsigned int", key=bytes)
    cpdef int expect(self, list records) except -1
    @cython.locals(old_live="unsigned long long", stamps=Stamps, old_dead="unsigned long long",
                   change="unsigned long long", at=Py_ssize_t, p="unsigned char *", found=int)
    cpdef int put(self, unsigned long long name, unsigned long long live, unsigned long long dead,
                  unsigned long long rest) except -1
    @cython.locals(name="unsigned long long")
    cpdef bint knows(self, unsigned int table, bytes key, unsigned long long live,
                     unsigned long long dead) except -1
    @cython.locals(record=tuple, table=int, key=bytes, body=bytes, form=Form)
    cpdef learn(self, dict forms, list records)
    @cython.locals(p="const unsigned char *", q="const unsigned char *", found=bytearray,
                   to="unsigned char *", bucket=Py_ssize_t)
    cpdef bytes differing(self, bytes sums)
    cpdef clear(self)
