cimport cython

from proxy.cluster.hlc cimport HybridClock
from proxy.dialog.profiles cimport Profiles
from proxy.dialog.record cimport is_sound, string, units_of
from proxy.dialog.replica cimport buried
from proxy.dialog.rules cimport DialogRules
from proxy.shm.cluster_page cimport ClusterPage
from proxy.shm.dialog_table cimport DialogTable
from proxy.shm.slots cimport Counters
from proxy.shm.packed cimport (
    blank, fixed, get_u16, get_u32, get_u64, put_u16, put_u32, put_u64,
)

cdef int AT_DUE, AT_FLAGS, AT_OWNER, AT_STATE, AT_TIMEOUT, AT_VERSION, SHARING_TAG
cdef int BYES_OPEN, END_WANTED
cdef int CONFIRMED_NA, CONFIRMED, DELETED
cdef long long PATIENCE_S
cdef int CORRUPT_RECORDS, DIALOG_COMMITS_REFUSED, LOCK_TIMEOUTS
cdef unsigned long long BLOCK, REFUSED


@cython.final
cdef class DialogStore:
    cdef readonly DialogTable table
    cdef readonly Profiles profiles
    cdef public DialogRules rules
    cdef readonly HybridClock clock
    cdef readonly Counters counters
    cdef readonly ClusterPage cluster
    cdef public object watcher
    cdef readonly long long wall, wall_ms
    cdef unsigned long long next_id, ids_end
    cdef readonly object owed
    cdef public double pay_at

    cpdef set_time(self, long long wall_ms)
    @cython.locals(made=bytearray, p="unsigned char *")
    cpdef bytes new_did(self)
    @cython.locals(payload=bytes)
    cpdef tuple read(self, bytes key)
    @cython.locals(tag=bytes)
    cpdef bint acts(self, bytes payload) except *
    cpdef unsigned long long acting_since(self, bytes payload) except? 0
    @cython.locals(p="unsigned char *")
    cpdef bytes sealed(self, bytearray draft, unsigned long long floor)
    @cython.locals(p="const unsigned char *")
    cpdef unsigned long long write(self, bytes key, unsigned long long stamp,
                                   bytes payload) except? 2
    cpdef bint let_go(self, bytes key, unsigned long long stamp, bytes payload) except *
    cpdef bint remove(self, bytes key, unsigned long long stamp) except *
    @cython.locals(payload=bytes, stamp="unsigned long long")
    cpdef bint clear(self, bytes key) except *
    cpdef owe(self, object change)
    cpdef pay(self, double now)
    cpdef count(self, object error)


@cython.locals(p="const unsigned char *", due="long long", answered=bint)
cpdef bint is_abandoned(bytes payload, long long wall) except *
cpdef unsigned long long version_of(bytes payload) except? 0
