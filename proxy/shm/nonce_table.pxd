cimport cython
from libc.stdint cimport uint32_t, uint64_t

from proxy.shm.arena cimport Arena

cdef size_t _SETS_AT, _SET, _FORGOTTEN, _EVICTED, _PLACES_AT, _PLACE, _ISSUED, _NC, _USED
cdef size_t _WINDOW, _TWIN
cdef int _PLACES, _ACCEPTED, _REPLAYED, _FORGOTTEN_NONCE, _EVICTING
cdef unsigned long long _ALL, _TOP, _ONE
cdef uint64_t _REPEAT


@cython.final
cdef class NonceTable:
    cdef readonly Arena arena
    cdef readonly uint64_t set_mask
    cdef readonly uint64_t lifetime_ms
    cdef readonly uint64_t born_ms

    @cython.locals(set_at="size_t")
    cpdef int use(self, uint64_t serial, uint64_t issued_ms, uint32_t nc, uint64_t twin,
                  uint64_t now_s) except -1
    cdef size_t _set_at(self, uint64_t serial) except 0
    cdef int _acquire(self, size_t set_at) except -1
    @cython.locals(at="size_t", _="int")
    cdef size_t _find(self, size_t set_at, uint64_t serial) except? 0
    @cython.locals(at="size_t", last="uint32_t", behind="uint32_t", window="uint64_t",
                   same="bint", in_time="bint")
    cdef int _use(self, size_t set_at, uint64_t serial, uint64_t issued_ms, uint32_t nc,
                  uint64_t twin, uint64_t now_s) except -1
    @cython.locals(ahead="uint32_t", window="uint64_t", shifted="uint64_t")
    cdef int _advance(self, size_t at, uint32_t last, uint32_t nc) except -1
    @cython.locals(at="size_t", evicting="bint", issued="uint64_t")
    cdef int _first_use(self, size_t set_at, uint64_t serial, uint64_t issued_ms, uint32_t nc,
                        uint64_t twin, uint64_t now_s) except -1
    @cython.locals(found="size_t", at="size_t", _="int")
    cdef size_t _oldest(self, size_t set_at) except 0
