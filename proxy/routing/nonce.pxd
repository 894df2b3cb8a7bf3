cimport cython

from proxy.routing.branch cimport hex_digits
from proxy.routing.siphash cimport siphash

cdef Py_ssize_t _BYTES
cdef long long _AHEAD


@cython.final
cdef class Nonces:
    cdef readonly unsigned long long key0
    cdef readonly unsigned long long key1
    cdef readonly unsigned long long origin
    cdef public long long lifetime_ms
    cdef public bint binds_source
    cdef unsigned long long _count

    @cython.locals(name=bytes, head=bytes)
    cpdef bytes make(self, unsigned long long now_ms, bytes realm, int algorithm, bytes source)
    @cython.locals(head=bytes)
    cpdef long long issued_ms(
        self, bytes nonce, bytes realm, int algorithm, bytes source
    ) except? 0
    @cython.locals(source="unsigned long long")
    cpdef unsigned long long twin(self, bytes data, bytes hostport) except? 0
    cpdef bint is_fresh(self, long long issued_ms, long long now_ms) except *
    @cython.locals(bound=bytes)
    cdef unsigned long long _mac(
        self, bytes head, bytes realm, int algorithm, bytes source
    ) except? 0


@cython.locals(serial="unsigned long long")
cpdef unsigned long long serial_of(bytes nonce) except 0
