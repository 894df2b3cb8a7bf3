cimport cython
from proxy.routing.exchange cimport Exchange
from proxy.routing.response_context cimport ResponseContext

cdef int ROUTE

cdef class Outcome:
    cdef public int status

cdef Outcome ENDED

cdef class PolicyRun(Exchange):
    cdef public object coroutine
    cdef public Outcome awaited
    cdef public Outcome outcome
    cpdef run(self, object policy)
    cpdef step(self)
    cpdef fail(self, int status, str reason)
    cpdef mistaken(self, str error)
    @cython.locals(context=ResponseContext)
    cpdef ended(self)
