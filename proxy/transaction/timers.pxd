cdef class Timers:
    cdef dict _queues
    cpdef start(self, double now, double duration, object owner, int timer)
    cpdef object next_deadline(self)
    cpdef int fire_due(self, double now) except -1
