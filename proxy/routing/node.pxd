cimport cython
from proxy.cluster.hlc cimport HybridClock
from proxy.dialog.tracker cimport Tracker
from proxy.limits.overload cimport Shedder
from proxy.registrar.rules cimport RegistrarRules
from proxy.routing.branch cimport Signer
from proxy.routing.identity cimport Identity
from proxy.routing.pending cimport Pendings
from proxy.routing.ratelimit cimport Ratelimit
from proxy.shm.location_table cimport LocationTable
from proxy.shm.slots cimport Counters
from proxy.transaction.layer cimport TransactionLayer

@cython.final
cdef class Node:
    cdef readonly TransactionLayer layer
    cdef readonly Signer signer
    cdef public Identity identity
    cdef readonly LocationTable location
    cdef public RegistrarRules rules
    cdef readonly Counters counters
    cdef readonly object log
    cdef public object resolve
    cdef public double timer_c
    cdef readonly Pendings pendings
    cdef readonly object mistakes
    cdef readonly Shedder shedder
    cdef public object on_reply
    cdef public object lookups, database
    cdef readonly dict errands
    cdef public object remote
    cdef public object authentication
    cdef public object inquiries
    cdef readonly object addresses
    cdef public Ratelimit pipes
    cdef public object hand_over
    cdef public Tracker dialogs
    cdef public object parking
    cdef readonly HybridClock clock
    cdef readonly object faults
    cdef readonly dict literals
    cdef readonly double now
    cdef readonly long long wall
    cdef readonly long long wall_ms
    cpdef set_time(self, double monotonic, long long wall_ms)
