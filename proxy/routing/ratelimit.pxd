cimport cython

from proxy.shm.pipes cimport Pipes
from proxy.shm.slots cimport Counters

cdef int PIPE_REFUSALS, PIPES_FULL, _ADMITTED, _NO_ROOM


@cython.final
cdef class Ratelimit:
    cdef readonly Pipes pipes
    cdef readonly Counters counters
    cdef dict _declared
    cdef int _default

    @cython.locals(chosen=int, verdict=int, key=bytes)
    cpdef bint check(self, str name, object limit, str algorithm, double now) except *
