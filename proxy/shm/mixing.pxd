cimport cython

cdef unsigned long long _ALL, _OFFSET, _PRIME, _FIRST, _SECOND

cpdef unsigned long long mix(unsigned long long value) noexcept
@cython.locals(p="const unsigned char *", value="unsigned long long", index=Py_ssize_t)
cpdef unsigned long long fnv1a(bytes data, unsigned long long start) except? 0
