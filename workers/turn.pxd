cimport cython
from proxy.limits.overload cimport Shedder
from proxy.routing.core cimport ProxyCore
from proxy.routing.node cimport Node
from proxy.shm.changes cimport ChangeRing
from proxy.shm.flood_guard cimport FloodGuard
from proxy.shm.inbox cimport Inbox
from proxy.shm.slots cimport Counters
from proxy.transaction.layer cimport Transaction, TransactionLayer
from workers.handoff cimport Handoff
from workers.traffic cimport Traffic

cdef int HANDED_IN, INBOX_WAKEUPS, NEIGHBOUR_DATAGRAMS, RECEIVED_DATAGRAMS
cdef int SEND_ERRORS, SENT_DATAGRAMS, STALE_DATAGRAMS, TURNS
cdef int BATCH, TRANSPORT_ERROR
cdef double SECOND, STALE_SECONDS, LONG_TURN
cdef Py_ssize_t FEW, FEWEST, PORTION

@cython.final
cdef class Readers:
    cdef readonly ChangeRing changes
    cdef readonly list eventfds
    @cython.locals(reader=Py_ssize_t)
    cpdef wake(self)

@cython.final
cdef class Turn:
    cdef readonly ProxyCore core
    cdef readonly Node node
    cdef readonly TransactionLayer layer
    cdef readonly Counters counters
    cdef readonly list sockets
    cdef public list reading
    cdef public dict by_descriptor
    cdef list found
    cdef readonly dict senders
    cdef readonly Handoff handoff
    cdef readonly Inbox inbox
    cdef readonly int wake_fd
    cdef readonly Readers readers
    cdef readonly object resolver
    cdef readonly FloodGuard guard
    cdef readonly list waits
    cdef readonly list each_second
    cdef double second_at
    cdef public double taken_at
    cdef double emptied_at
    cdef readonly Traffic traffic
    cdef readonly long long waited_ns
    cdef readonly long long standing_ns
    cdef readonly double heard_at
    cdef public object keeping
    cdef unsigned long long changed_at
    cdef readonly Py_ssize_t most
    cdef double worked
    cdef public dict neighbours
    cdef public list lent
    @cython.locals(batch=list, count=Py_ssize_t, more=bint, handed_in=list, stood_still=double,
                   received_ns="long long", handed_ns="long long")
    cpdef bint take(self) except *
    @cython.locals(count=Py_ssize_t, received=Py_ssize_t, now=double, most_ns="long long",
                   reading=list)
    cdef Py_ssize_t receive(self, long long now_ns, list batch) except -1
    cdef look_at(self, long long waited_ns, bint is_full)
    @cython.locals(at=Py_ssize_t)
    cdef act_on(self, list batch)
    @cython.locals(before=double, took=double)
    cdef fit(self, bint is_full)
    @cython.locals(shedder=Shedder, waited=double, standing=double)
    cdef watch_queues(self, long long now_ns)
    cdef object tell_time(self)
    @cython.locals(count=Py_ssize_t)
    cdef Py_ssize_t help_out(self, long long now_ns, long long most_ns, list batch) except -1
    @cython.locals(count=Py_ssize_t)
    cdef discard(self, double stood_still)
    cpdef let_time_pass(self, double now)
    @cython.locals(outbox=list, failed=list)
    cpdef flush(self)
    @cython.locals(transaction=Transaction)
    cpdef report(self, list failed)
    @cython.locals(ready=list, others=list, event=tuple)
    cpdef list rest(self, object poll)
    @cython.locals(wait=double)
    cpdef double patience(self) except *

cpdef add_to(int eventfd)
