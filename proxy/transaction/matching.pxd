"""Types of the tables of transactions."""

cimport cython

from proxy.sip.message cimport Message

cdef bytes BRANCH_COOKIE

@cython.final
cdef class Matching:
    cdef readonly dict methods
    cpdef bint has(self, str method) except -1
    @cython.locals(table=dict)
    cpdef object find(self, str method, bytes key)
    @cython.locals(table=dict)
    cpdef enter(self, str method, bytes key, object one)
    @cython.locals(table=dict)
    cpdef leave(self, str method, bytes key, object one)

@cython.locals(branch=bytes)
cpdef bytes server_key(Message request)
