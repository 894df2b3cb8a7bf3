cimport cython
from libc.stdint cimport uint32_t

from proxy.shm.arena cimport Arena

cdef size_t _SHARDS_AT
cdef uint32_t _MASK


@cython.final
cdef class Shards:
    cdef readonly Arena arena

    cpdef int owner(self, uint32_t call_id_hash) except -1
