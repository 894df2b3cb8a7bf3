cimport cython

from proxy.cluster.backlog cimport add_note
from proxy.cluster.digests cimport Digests, hash_bytes
from proxy.cluster.form cimport Form
from proxy.cluster.frames cimport add_record
from proxy.shm.packed cimport put_u32, put_u64
from proxy.sip.draft cimport Draft

cdef Py_ssize_t _COUNT_AT, _BATCH_RECORDS, _BATCH_BYTES
cdef int _SAME_REST
cdef bytes _HEAD


@cython.final
cdef class Telling:
    cdef readonly dict batches
    cdef readonly long long count, start
    cdef readonly Digests digests
    cdef dict forms
    cdef set disabled
    cdef Draft _notes, _batch
    cdef long long _after
    cdef unsigned int _records, _briefs, _table
    cdef Form _form
    cdef bytes _key
    cdef unsigned long long _name

    cpdef begin(self, long long start)
    cpdef int name(self, unsigned int table, bytes key) except -1
    @cython.locals(form=Form, rest="unsigned long long", found=int)
    cpdef int state(self, bytes body) except -1
    cdef int _tell(self, bytes body) except -1
    cpdef bytes end(self)
    cdef int _open(self) except -1
    @cython.locals(upto="long long", p="unsigned char *", body=bytes)
    cdef int _close(self) except -1
