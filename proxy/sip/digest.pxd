"""Types of digest authentication."""

cimport cython

from proxy.sip.credentials cimport Credentials

cdef int _REMEMBERED_BYTES, _AUTH_INT, _KNOWN_TARGETS
cdef tuple _HASH_OF
cdef tuple _HASH
cdef object _IS_SESS

cpdef bytes ha1_of(int kind, bytes username, bytes realm, bytes password)
cpdef tuple ha1s_of(bytes username, bytes realm, bytes password)
@cython.locals(value=bytes)
cpdef bytes challenge(bytes realm, bytes nonce, int algorithm, bytes qop, bint stale)


@cython.final
cdef class Verifier:
    cdef readonly unsigned long long hashes
    cdef tuple _targets

    @cython.locals(kind=int, a2=bytes, text=bytes)
    cpdef bytes expected(self, Credentials given, bytes method, bytes body, bytes ha1)
    cpdef bint matches(self, Credentials given, bytes method, bytes body, bytes ha1) except *
    @cython.locals(text=bytes, known=dict, a2=bytes)
    cdef bytes _a2(self, Credentials given, int kind, bytes method, bytes body)
