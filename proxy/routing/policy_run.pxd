cimport cython
from proxy.routing.exchange cimport Exchange
from proxy.routing.node cimport Node
from proxy.routing.pending cimport Pending
from proxy.routing.response_context cimport ResponseContext
from proxy.routing.tracking cimport leave_off
from proxy.sip.address cimport Address
from proxy.sip.message cimport Message

cdef extern from "Python.h":
    ctypedef struct PyObject:
        pass
    # 0: it returned, 1: it awaits; without a StopIteration, which would cost more than a policy
    int PyIter_Send(object, object, PyObject **) except -1
    void Py_XDECREF(PyObject *)

cdef inline object advance(object coroutine, object ended):
    """Run a coroutine to its next await and give what it awaits; `ended` at its end."""
    cdef PyObject *given = NULL
    cdef int awaits = PyIter_Send(coroutine, None, &given)
    cdef object result = <object>given if awaits else ended
    Py_XDECREF(given)
    return result

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
