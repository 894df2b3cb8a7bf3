cimport cython
from libc.stdint cimport uint64_t

from proxy.shm.arena cimport Arena

cdef size_t _INCARNATION, _BEFORE, _SETTLED, _GRACE, _CHANGES
cdef uint64_t _SYNCED, _ACTIVE, _EPOCH


@cython.final
cdef class ClusterPage:
    cdef readonly Arena arena
    cdef readonly uint64_t node
    cdef readonly tuple tags
    cdef readonly dict places
    cdef readonly dict clusters

    cpdef bint acts(self, bytes tag) except *
    cpdef bint acts_for(self, bytes tag, uint64_t owner) except *
    cpdef bint has_tag(self, bytes tag) except *
    cpdef uint64_t epoch(self, bytes tag) except? 0
    @cython.locals(word="uint64_t")
    cpdef int set_tag(self, bytes tag, uint64_t epoch, bint active) except -1
    cpdef uint64_t tag_changes(self) except? 0
    @cython.locals(me="uint64_t", grace_s="uint64_t")
    cpdef tuple horizon(self, bytes tag=*)
    cpdef uint64_t settled(self) except? 0
    cpdef int set_horizon(self, uint64_t before, uint64_t settled, uint64_t grace_s) except -1
    cpdef bint is_synced(self, uint64_t cluster) except *
    @cython.locals(word="uint64_t")
    cpdef int set_synced(self, uint64_t cluster, bint synced) except -1
    cpdef uint64_t incarnation(self) except? 0
    cpdef int set_incarnation(self, uint64_t epoch) except -1
