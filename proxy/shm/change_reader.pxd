cimport cython
from libc.stdint cimport uint64_t

from proxy.shm.changes cimport ChangeRing, units_of

cdef int _OVERRUN, _PASSED, _STRIPE, _WAITING
cdef long long _PATIENCE_MS


@cython.final
cdef class Change:
    cdef readonly int table
    cdef readonly bytes key
    cdef readonly long long stripe
    cdef readonly uint64_t ends


@cython.locals(change=Change)
cpdef Change change_of(int table, bytes key, long long stripe=*, uint64_t ends=*)


@cython.final
cdef class ChangeReader:
    cdef readonly ChangeRing ring
    cdef readonly uint64_t position
    cdef readonly bint overrun
    cdef uint64_t _lost
    cdef long long _waits_since

    cpdef resume(self)
    @cython.locals(found=list, ring=ChangeRing, state=int)
    cpdef list take(self, Py_ssize_t limit, long long now_ms)
    @cython.locals(ring=ChangeRing, state=int)
    cpdef int advance(self, long long now_ms) except -1
    cpdef bint pass_own(self, bytes key, uint64_t ends) except -1
    cdef bint _lost_patience(self, long long now_ms) except *
