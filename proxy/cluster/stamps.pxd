cimport cython

from proxy.shm.packed cimport get_u64, put_u64, warm

cdef Py_ssize_t CELL, LEAST


@cython.final
cdef class Stamps:
    cdef readonly unsigned long long count
    cdef unsigned long long _mask
    cdef bytearray _cells

    cpdef unsigned long long get(self, unsigned long long name) except? 0
    cpdef put(self, unsigned long long name, unsigned long long value,
              unsigned long long rest=*)
    @cython.locals(p="const unsigned char *")
    cpdef unsigned long long value_at(self, Py_ssize_t at) except? 0
    @cython.locals(p="const unsigned char *")
    cpdef unsigned long long rest_at(self, Py_ssize_t at) except? 0
    @cython.locals(p="unsigned char *")
    cdef put_at(self, Py_ssize_t at, unsigned long long name, unsigned long long value,
                unsigned long long rest)
    @cython.locals(p="const unsigned char *", index="unsigned long long", at=Py_ssize_t)
    cpdef Py_ssize_t find(self, unsigned long long name) except -1
    @cython.locals(at=Py_ssize_t)
    cdef int warm(self, unsigned long long name) except -1
    @cython.locals(p="unsigned char *", hole="unsigned long long", index="unsigned long long",
                   name="unsigned long long")
    cdef _free(self, Py_ssize_t at)
    @cython.locals(p="const unsigned char *", q="unsigned char *", old=bytearray,
                   number=Py_ssize_t, size=Py_ssize_t, name="unsigned long long")
    cdef _grow(self)


@cython.locals(word=Py_ssize_t)
cdef void _copy(unsigned char *to, Py_ssize_t at, const unsigned char *cells,
                Py_ssize_t cell) noexcept
