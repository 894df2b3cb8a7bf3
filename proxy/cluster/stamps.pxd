cimport cython

from proxy.shm.packed cimport get_u64, put_u64

cdef Py_ssize_t CELL, LEAST


@cython.final
cdef class Stamps:
    cdef readonly unsigned long long count
    cdef unsigned long long _mask
    cdef bytearray _cells

    @cython.locals(p="const unsigned char *", at=Py_ssize_t)
    cpdef unsigned long long get(self, unsigned long long name) except? 0
    @cython.locals(p="unsigned char *", at=Py_ssize_t)
    cpdef put(self, unsigned long long name, unsigned long long value)
    @cython.locals(p="const unsigned char *", index="unsigned long long", at=Py_ssize_t)
    cdef Py_ssize_t _find(self, unsigned long long name) except -1
    @cython.locals(p="unsigned char *", hole="unsigned long long", index="unsigned long long",
                   name="unsigned long long")
    cdef _free(self, Py_ssize_t at)
    @cython.locals(p="const unsigned char *", q="unsigned char *", old=bytearray,
                   number=Py_ssize_t, size=Py_ssize_t, name="unsigned long long", at=Py_ssize_t)
    cdef _grow(self)
