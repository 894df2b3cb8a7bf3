cimport cython

from proxy.shm.packed cimport get_u64

cdef unsigned long long _ALL, _OFFSET, _PRIME, _FIRST, _SECOND

cpdef unsigned long long mix(unsigned long long value) noexcept
cpdef unsigned long long fnv1a(bytes data, unsigned long long start) except? 0
@cython.locals(value="unsigned long long")
cpdef unsigned long long fnv1a_part(const unsigned char *p, Py_ssize_t at, Py_ssize_t end,
                                    unsigned long long start) noexcept
@cython.locals(p="const unsigned char *", value="unsigned long long", end=Py_ssize_t,
               word="unsigned long long")
cpdef unsigned long long hash_words(bytes data, Py_ssize_t at) except? 0
