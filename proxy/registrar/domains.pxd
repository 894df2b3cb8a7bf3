cimport cython


cdef class Domains:
    cdef readonly frozenset configured
    cdef readonly frozenset served
    cdef readonly frozenset parents

    cpdef bint serves(self, bytes host) except *
    cpdef bint is_below(self, bytes host) except *
    @cython.locals(listed=set, parents=set, name=bytes)
    cpdef replace(self, rows)
