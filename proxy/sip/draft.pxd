cimport cython
from libc.string cimport memcpy

cdef Py_ssize_t _ROOM

cdef inline void put_bytes(
    unsigned char *room, Py_ssize_t at, const unsigned char *p, Py_ssize_t start, Py_ssize_t size
) noexcept:
    """Copy p[start:start + size] to room[at:]."""
    memcpy(room + at, p + start, size)


@cython.final
cdef class Draft:
    cdef bytearray store
    cdef unsigned char *room
    cdef Py_ssize_t size
    cdef Py_ssize_t used

    cpdef int begin(self) except -1
    @cython.locals(length=Py_ssize_t, p="const unsigned char *")
    cpdef int add(self, bytes text) except -1
    @cython.locals(length=Py_ssize_t, p="const unsigned char *")
    cpdef int add_part(self, bytes data, Py_ssize_t start, Py_ssize_t end) except -1
    @cython.locals(at=Py_ssize_t, rest="unsigned long long")
    cpdef int add_number(self, unsigned long long number) except -1
    cdef int grow(self, Py_ssize_t length) except -1
    @cython.locals(room="unsigned char *")
    cpdef bytes take(self)
