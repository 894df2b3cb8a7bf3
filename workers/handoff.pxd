cimport cython
from libc.stdint cimport uint32_t, uint64_t

from proxy.shm.inbox cimport Inbox
from proxy.shm.kept_calls cimport KeptCalls
from proxy.shm.shards cimport Shards
from proxy.shm.slots cimport Counters
from proxy.sip.scanner cimport call_id_hash

cdef int HANDED_OFF, INBOX_FULL, FULL, WAKE


@cython.final
cdef class Predecessor:
    cdef readonly int place
    cdef readonly unsigned int generation
    cdef readonly KeptCalls kept
    cdef readonly Inbox inbox
    cdef readonly tuple listeners


@cython.final
cdef class Handoff:
    cdef readonly int index
    cdef public Shards shards
    cdef readonly list inboxes
    cdef readonly list eventfds
    cdef readonly Counters counters
    cdef readonly dict sleepers
    cdef readonly list predecessors
    cpdef bint hand_over(self, int listener, bytes sockaddr, bytes data) except *
    @cython.locals(call="uint32_t", owner=int)
    cpdef bint pass_on(
        self, int listener, bytes sockaddr, uint64_t received_ns, bytes data
    ) except *
    @cython.locals(each=Predecessor, number=int)
    cpdef bint pass_back(
        self, uint32_t call, int listener, bytes sockaddr, uint64_t received_ns, bytes data
    ) except *
    @cython.locals(outcome=int)
    cdef put(
        self, int place, Inbox inbox, int listener, bytes sockaddr, uint64_t received_ns, bytes data
    )
    @cython.locals(inbox=Inbox, sleep=uint32_t)
    cpdef wake(self)
