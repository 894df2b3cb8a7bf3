cimport cython
from proxy.sip.message cimport Message

cdef unsigned long long MASK
cdef Py_ssize_t BRANCH_BYTES
cdef bytes COOKIE

@cython.locals(v0="unsigned long long", v1="unsigned long long", v2="unsigned long long",
               v3="unsigned long long", word="unsigned long long", p="const unsigned char *",
               size=Py_ssize_t, whole=Py_ssize_t, at=Py_ssize_t, finished=int, rounds=int, i=int,
               _=int)
cpdef unsigned long long siphash(unsigned long long key0, unsigned long long key1, bytes data) except? 0

@cython.final
cdef class Signer:
    cdef readonly unsigned long long key0
    cdef readonly unsigned long long key1
    cpdef bytes loop_hash(self, Message request, bytes request_uri, bytes routes)
    @cython.locals(suffix=bytes)
    cpdef bytes branch(self, Message request, bytes loop, bytes target)
    cpdef bint is_ours(self, bytes branch, bytes next_branch, Message response) except *
    cdef bytes _mac(self, bytes branch, Message message, bytes suffix)
    cpdef bytes route_cookie(self, bytes call_id, bytes caller_tag)
    cpdef bytes own_tag(self, Message request)
