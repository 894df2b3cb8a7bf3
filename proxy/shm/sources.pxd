cimport cython
from libc.stdint cimport uint32_t, uint64_t

from proxy.shm.arena cimport Arena

cdef int _GO_ON, _OVER, _BANNED, _DISPLACED, _WAYS, _TRIES
cdef size_t _PLACE, _SET, _SETS_AT, _COUNT, _BAN
cdef uint64_t _LOW, _TAG, _SPREAD, _WORD, _BAN_WORTH


@cython.final
cdef class Sources:
    cdef readonly Arena arena
    cdef readonly size_t sets
    cdef readonly uint64_t seed
    cdef readonly uint64_t unit
    cdef readonly uint64_t density

    @cython.locals(first="size_t", at="size_t", _=int)
    cpdef int note(self, uint64_t source, uint64_t now_ms) except -1
    @cython.locals(unit="uint64_t", least="uint64_t", at="size_t", chosen="size_t",
                   worth="uint64_t", old="uint64_t", _=int)
    cdef int _enter(self, size_t first, uint64_t source, uint64_t now_ms) except -1
    @cython.locals(source="uint64_t", word="uint64_t")
    cdef uint64_t _worth(self, size_t at, uint64_t unit, uint64_t now_ms) except? 0
    @cython.locals(word="uint64_t", changed="uint64_t", _=int)
    cdef uint64_t _add(self, size_t at, uint64_t unit) except? 0
    @cython.locals(ban="uint64_t")
    cdef bint _is_banned(self, size_t at, uint64_t source, uint64_t now_ms) except *
    @cython.locals(mixed="uint64_t")
    cdef size_t _set_of(self, uint64_t source) noexcept
    cdef uint64_t _tag(self, uint64_t source) noexcept
    @cython.locals(at="size_t", _=int)
    cdef size_t _place_of(self, uint64_t source) except? 0
    @cython.locals(at="size_t")
    cpdef bint ban(self, uint64_t source, uint64_t until_ms) except *
    @cython.locals(at="size_t")
    cpdef bint lift(self, uint64_t source, uint64_t now_ms) except *
    @cython.locals(at="size_t", source="uint64_t")
    cpdef list banned(self, uint64_t now_ms)
