cimport cython
from libc.stdint cimport uint16_t, uint32_t, uint64_t

from proxy.shm.arena cimport Arena

cdef size_t _LOCK_AT, _HEAD_AT, _TAIL_AT, _SLEEPING_AT, _RING_AT, _RECORD
cdef uint32_t _SKIP, _EVEN
cdef int _FULL, _QUEUED, _WAKE


@cython.final
cdef class Inbox:
    cdef readonly Arena arena
    cdef readonly size_t size
    cdef readonly uint64_t damaged

    @cython.locals(need="size_t", queued="bint")
    cpdef int push(self, uint16_t listener, bytes sockaddr, uint64_t received_ns,
                   bytes data) except -1
    @cython.locals(head="uint64_t", at="size_t", left="size_t", skip="size_t", length="size_t")
    cdef bint _append(self, size_t need, uint16_t listener, bytes sockaddr, uint64_t received_ns,
                      bytes data) except -1
    @cython.locals(head="uint64_t", tail="uint64_t", at="size_t", left="size_t", need="size_t",
                   address_length="size_t", length="size_t", taken="list")
    cpdef list pop(self, Py_ssize_t limit)
    @cython.locals(number=uint32_t)
    cpdef bint announce_sleep(self) except -1
    cpdef int awake(self) except -1
    @cython.locals(number=uint32_t)
    cpdef uint32_t sleep(self) except? 0
    cpdef woken(self, uint32_t sleep)
