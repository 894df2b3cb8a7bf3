cimport cython
from libc.stdint cimport uint64_t

from proxy.shm.inbox cimport Inbox
from proxy.shm.shards cimport Shards
from proxy.shm.slots cimport Counters
from proxy.sip.scanner cimport call_id_hash

@cython.final
cdef class Handoff:
    cdef readonly int index
    cdef Shards shards
    cdef list inboxes
    cdef list eventfds
    cdef Counters counters
    cdef int handed_off
    cdef int inbox_full
    cdef set sleepers

    cpdef bint hand_over(self, int listener, bytes sockaddr, bytes data) except -1
    @cython.locals(owner=int, outcome=int, inbox=Inbox)
    cpdef bint pass_on(
        self, int listener, bytes sockaddr, uint64_t received_ns, bytes data) except -1
    @cython.locals(owner=int)
    cpdef wake(self)
