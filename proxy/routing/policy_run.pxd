cimport cython
from proxy.routing.exchange cimport Exchange
from proxy.routing.node cimport Node
from proxy.routing.pending cimport Pending
from proxy.routing.response_context cimport ResponseContext
from proxy.routing.tracking cimport leave_off
from proxy.sip.address cimport Address
from proxy.sip.message cimport Message

cdef int POLICY_TURNS, ROUTE
cdef int TIMEOUT, SILENCE

@cython.final
cdef class Outcome(Pending):
    cdef public int status
    cdef public Message response
    cdef public ResponseContext context
    cdef begin(self)
    cpdef end(self, int status)

@cython.final
cdef class Sleep(Pending):
    pass

cdef Outcome ENDED

cdef class PolicyRun(Exchange):
    cdef public object coroutine
    cdef public Pending awaited
    cdef public Outcome outcome
    cdef public int turns
    cdef begin(self, Node node, Message message, Address source, int listener)
    cpdef run(self, object policy)
    cpdef start(self, object policy)
    cpdef step(self)
    cpdef bint may_await(self, Pending pending) except *
    cpdef resume(self, Pending pending)
    cpdef take_turn(self)
    cpdef Pending wait_for(self, Pending pending, double seconds)
    cpdef fail(self, int status, str reason, bytes headers=*)
    cpdef mistaken(self, object error)
    @cython.locals(node=Node, times=int)
    cpdef report_mistake(self, object error)
    @cython.locals(context=ResponseContext)
    cpdef ended(self)
