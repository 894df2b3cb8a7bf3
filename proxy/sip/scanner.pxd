"""Types of the scanner."""

cimport cython

from proxy.sip.grammar cimport LWS, Bytes, find_byte, same_name

cdef unsigned int _FNV_OFFSET
cdef unsigned int _FNV_PRIME
cdef unsigned int _32_BITS

@cython.locals(p=Bytes, end=int, i=int)
cpdef int classify(bytes data) except -1
@cython.locals(p=Bytes, end=int, i=int)
cpdef bint stands_alone(bytes data) except -1
@cython.locals(p=Bytes, end=int, i=int, at=int)
cpdef long long find_call_id(bytes data) except -2
@cython.locals(at=int)
cdef long long _value_at(Bytes p, long long start, int end) noexcept
@cython.locals(found="long long")
cpdef unsigned int call_id_hash(bytes data) except? 0
cpdef unsigned int hash_call_id(bytes call_id) except? 0
@cython.locals(i=int, value="unsigned int")
cdef unsigned int _fnv1a(Bytes p, int start, int end) noexcept
