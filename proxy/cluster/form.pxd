cimport cython


cdef class Form:
    cdef public unsigned long long live, dead
    cdef public bint mixed

    cpdef bint names(self, bytes key) except -1
    cpdef bint sound(self, bytes body) except -1
    cpdef unsigned long long newest(self, bytes body) except? 0
    cpdef int look(self, bytes body) except -1
    cpdef tuple stamps(self, bytes body)
    cpdef unsigned long long rest(self, bytes body) except? 0
    cpdef bytes brief(self, bytes body, unsigned long long rest)
    cpdef bytes restored(self, bytes body, bytes ours)
    cpdef bytes merge(self, bytes ours, bytes theirs)
    cpdef bytes prune(self, bytes body, unsigned int me, unsigned long long now_s,
                      unsigned long long grace_s, unsigned long long before)


@cython.locals(whole=bytes, merged=bytes, me="unsigned int", now_s="unsigned long long",
               grace_s="unsigned long long", before="unsigned long long")
cpdef bytes joined(Form form, bytes ours, bytes theirs, object horizon)
