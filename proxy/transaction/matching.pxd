"""Types of the tables of transactions."""

cimport cython

from proxy.sip.message cimport Message
from proxy.transaction.timers cimport Timed

cdef bytes BRANCH_COOKIE

cdef class Matched(Timed):
    cdef readonly str method
    cdef readonly bytes key
    cdef Py_hash_t mark
    cdef Matched beside

@cython.final
cdef class Matching:
    cdef list places
    cdef Py_hash_t mask
    cdef readonly Py_ssize_t count
    @cython.locals(mark=Py_hash_t, one=Matched)
    cpdef Matched find(self, str method, bytes key)
    @cython.locals(mark=Py_hash_t)
    cpdef enter(self, str method, bytes key, Matched one)
    @cython.locals(at=Py_hash_t, other=Matched)
    cpdef leave(self, Matched one)
    @cython.locals(one=Matched, found=list)
    cpdef list everything(self)
    @cython.locals(one=Matched)
    cpdef list of(self, str method)

@cython.locals(branch=bytes)
cpdef bytes server_key(Message request)
