"""Types of the tables of transactions."""

cimport cython

from proxy.sip.message cimport Message
from proxy.transaction.timers cimport Timed

cdef bytes BRANCH_COOKIE

cdef extern from "Python.h":
    ctypedef struct PyListObject:
        void **ob_item

cdef extern from *:
    void __builtin_prefetch(const void *) noexcept

cdef inline void fetch(list places, Py_ssize_t at) noexcept:
    """Have memory bring the line of a place into the processor's cache, without waiting."""
    __builtin_prefetch(&(<PyListObject *>places).ob_item[at])

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
    cpdef expect(self, bytes key)
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

cpdef bytes server_key(Message request)
cpdef bint has_cookie(bytes branch) except -1
cdef bytes _server_key(Message request)
