cimport cython
from libc.stdint cimport int64_t, uint32_t, uint64_t

from proxy.shm.arena cimport Arena


cdef unsigned long long _WORD
@cython.final
cdef class Counters:
    cdef Arena _arena
    cdef readonly size_t at
    cdef readonly uint32_t count

    cpdef int add(self, uint32_t counter, int64_t n=*) except -1
    @cython.locals(word="uint64_t")
    cpdef int64_t get(self, uint32_t counter) except? -1
    cpdef int set(self, uint32_t counter, int64_t value) except -1
    cdef size_t _cell(self, uint32_t counter) except 0


@cython.final
cdef class ProcessSlots:
    cdef readonly Arena arena
    cdef readonly uint32_t rows
    cdef readonly uint32_t counter_count
    cdef readonly size_t matrix_at
    cdef readonly size_t stride

    @cython.locals(at="size_t")
    cpdef int beat(self, uint32_t row, uint64_t now) except -1
    cpdef Counters counters(self, uint32_t row)
    @cython.locals(at="size_t", row="Py_ssize_t", summed="uint64_t", word="uint64_t")
    cpdef int64_t total(self, uint32_t counter) except? -1
    cdef size_t _row_at(self, uint32_t row) except 0
