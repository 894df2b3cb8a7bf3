cimport cython
from proxy.routing.exchange cimport Exchange
from proxy.routing.pending cimport Pending
from proxy.routing.response_context cimport ResponseContext
from proxy.routing.tracking cimport leave_off

cdef int ROUTE

@cython.final
cdef class Outcome(Pending):
    cdef public int status
    cpdef end(self, int status)

cdef Outcome ENDED

cdef class PolicyRun(Exchange):
    cdef public object coroutine
    cdef public Pending awaited
    cdef public Outcome outcome
    cpdef run(self, object policy)
    cpdef step(self)
    cpdef bint may_await(self, Pending pending) except *
    cpdef resume(self, Pending pending)
    cpdef fail(self, int status, str reason)
    cpdef mistaken(self, str error)
    @cython.locals(context=ResponseContext)
    cpdef ended(self)
