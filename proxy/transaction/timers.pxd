cimport cython

cdef double NEVER

cdef class Timed:
    cpdef fire(self, int timer, double now)

@cython.final
cdef class Queue:
    cdef object entries
    cdef double deadline
    cdef list latest
    cdef Py_ssize_t fired
    cdef int start(self, double deadline, Timed owner, int timer) except -1
    @cython.locals(entry=tuple)
    cdef double next_deadline(self) except *
    @cython.locals(fired=int, waiting=list, at=Py_ssize_t, owner=Timed)
    cdef int fire_due(self, double now) except -1

@cython.final
cdef class Timers:
    cdef dict _queues
    cdef list _all
    @cython.locals(queue=Queue)
    cpdef start(self, double now, double duration, Timed owner, int timer)
    @cython.locals(queue=Queue)
    cpdef Queue queue(self, double duration)
    @cython.locals(queue=Queue, earliest=double)
    cpdef object next_deadline(self)
    @cython.locals(queue=Queue, fired=int)
    cpdef int fire_due(self, double now) except -1
