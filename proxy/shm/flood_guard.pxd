cimport cython
from libc.stdint cimport uint64_t

from proxy.shm.slots cimport Counters
from proxy.shm.sources cimport Sources

cdef int _OVER, _BANNED, _DISPLACED


@cython.final
cdef class FloodGuard:
    cdef readonly Sources sources
    cdef readonly Counters counters
    cdef readonly int stopped
    cdef readonly int displaced
    cdef readonly object over
    cdef public uint64_t now_ms

    @cython.locals(answer=int)
    cpdef bint stops(self, uint64_t source) except *
