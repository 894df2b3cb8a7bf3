cimport cython

from proxy.cluster.digests cimport Digests
from proxy.cluster.form cimport Form
from proxy.cluster.frames cimport encode_records
from proxy.cluster.hlc cimport HybridClock
from proxy.cluster.telling cimport Telling

cdef Py_ssize_t TAKEN_AT_ONCE, SCANNED_AT_ONCE, BATCH_RECORDS, BATCH_BYTES, INCOMPLETE


@cython.final
cdef class Replication:
    cdef readonly object settings, store, wire, membership, backlog
    cdef readonly HybridClock clock
    cdef readonly dict links
    cdef readonly Digests digests
    cdef readonly Telling telling
    cdef readonly set disabled
    cdef readonly long long scanning, stable_ms
    cdef readonly bint is_drained
    cdef public bint crowded
    cdef object _marks
    cdef dict _batches
    cdef long long _greetings

    @cython.locals(more=bint)
    cpdef bint pump(self, long long now, long long wall) except *
    @cython.locals(telling=Telling, taken=Py_ssize_t)
    cdef bint _take(self, long long now) except *
    cdef tuple _batch(self, long long after, bint may_be_brief)
    @cython.locals(limit="long long", records=dict, told=list, note=tuple, size=Py_ssize_t,
                   upto="long long", key=bytes, body=bytes, data=bytes, table=int)
    cdef tuple _again(self, long long after, bint up_to_now)
    @cython.locals(forms=dict, key=bytes, body=bytes, table=int, form=Form)
    cpdef check(self, list records)
    @cython.locals(forms=dict, form=Form, newest="unsigned long long", table=int, key=bytes,
                   body=bytes, stored=bytes, outcome=Py_ssize_t, news=Py_ssize_t)
    cpdef Py_ssize_t apply(self, object link, list records, long long wall) except -2
    cdef object _learn(self, Form form, int table, bytes key, bytes old, bytes new)
