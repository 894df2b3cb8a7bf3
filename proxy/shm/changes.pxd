cimport cython
from libc.stdint cimport uint16_t, uint32_t, uint64_t

from proxy.shm.arena cimport Arena, fold

cdef unsigned long long _LOW
cdef size_t _HEAD_AT, _LOST_AT, _READERS_AT, _DONE, _LINE, _UNITS_AT, _UNIT
cdef size_t _CHECK, _TABLE, _LENGTH, _KEY, _FIRST, _MORE
cdef uint64_t _PUBLISHED, _CONTINUED, _SKIPPED
cdef uint32_t _WHOLE_STRIPE, _READERS
cdef size_t _LONGEST_KEY
cdef int _ATTEMPTS, _STATES, _WAITING, _READ, _STRIPE, _PASSED, _OVERRUN


@cython.final
cdef class ChangeRing:
    cdef readonly Arena arena
    cdef readonly uint64_t units, following
    cdef readonly uint32_t table
    cdef readonly bytes key
    cdef uint64_t _seen

    cpdef uint64_t note(self, uint32_t table, bytes key) except? 0
    cpdef uint64_t note_stripe(self, uint32_t table, uint32_t stripe) except? 0
    @cython.locals(size="size_t", units="uint64_t", attempt="int", position="uint64_t", at="size_t",
                   held="uint64_t")
    cdef uint64_t _append(self, uint32_t table, uint32_t length, bytes key) except? 0
    @cython.locals(done="Py_ssize_t", at="size_t")
    cdef int _put_long(self, uint64_t position, bytes key) except -1
    cdef uint64_t _lose(self) except? 0
    @cython.locals(at="size_t", word="uint64_t", table="uint32_t",
                   length="uint32_t", size="size_t", key="bytes")
    cpdef int read(self, uint64_t position) except -1
    @cython.locals(at="size_t", held="uint64_t")
    cpdef bint skip(self, uint64_t position) except -1
    @cython.locals(key="bytes", done="size_t")
    cdef bytes _key(self, uint64_t position, size_t size)
    cdef size_t _at(self, uint64_t position)
    cdef uint32_t _check(self, uint64_t position, uint32_t table, uint32_t length,
                         bytes key) except? 0
    @cython.locals(at="size_t")
    cpdef bint announce_sleep(self, uint32_t reader, uint64_t cursor) except -1
    cpdef int awake(self, uint32_t reader) except -1
    cpdef bint sleeps(self, uint32_t reader) except -1
    cpdef int set_done(self, uint32_t reader, uint64_t position) except -1
    cpdef uint64_t done(self, uint32_t reader) except? 0
    cdef size_t _reader_at(self, uint32_t reader) except 0


@cython.locals(size="size_t")
cpdef uint64_t units_of(bytes key) except 0
