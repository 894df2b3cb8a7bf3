cimport cython
from libc.stdint cimport uint32_t

from proxy.shm.arena cimport Arena

cdef size_t _SLOTS_AT, _BYTES
cdef uint32_t _MASK, _WORD, _SPREAD, _FREE, _REMOVED
cdef int _SHIFT


@cython.final
cdef class KeptCalls:
    cdef readonly Arena arena
    cdef readonly Py_ssize_t used

    cpdef bint has(self, uint32_t call) except *
    @cython.locals(at="size_t")
    cpdef bint add(self, uint32_t call) except *
    @cython.locals(at="size_t")
    cpdef remove(self, uint32_t call)
    @cython.locals(place="uint32_t", found="uint32_t", _=int)
    cdef size_t _find(self, uint32_t call) except 0


cdef uint32_t _key(uint32_t call) noexcept
cdef uint32_t _place(uint32_t call) noexcept
