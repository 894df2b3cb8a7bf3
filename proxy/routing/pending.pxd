cimport cython

from proxy.transaction.timers cimport Timed

cdef class Pending(Timed):
    cdef public bint under_way
    cdef public bint done
    cdef public object result
    cdef public object waiter
    cdef public Pendings queue
    cdef promise(self)
    cpdef object outcome(self)
    @cython.locals(queue=Pendings)
    cpdef finish(self, object result)
    @cython.locals(queue=Pendings)
    cpdef fire(self, int timer, double now)

cdef class Pendings:
    cdef readonly object timers
    cdef readonly object counters
    cdef readonly int open
    cpdef bint begin(self, Pending pending, double seconds, double now) except *
    cpdef left(self)
    cpdef too_late(self)
