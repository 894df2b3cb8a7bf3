cimport cython
from libc.stdint cimport uint64_t

from proxy.cluster.form cimport Form, joined
from proxy.cluster.telling cimport Telling
from proxy.shm.change_reader cimport ChangeReader
from proxy.shm.changes cimport ChangeRing
from proxy.shm.table cimport Table
from workers.clusterer.adapter cimport Adapter

cdef int ATTEMPTS, AT_ONCE, CURSOR_BITS, _LOST, _OVERRUN, _STRIPE, _WAITING
cdef long long CURSOR_MASK


@cython.final
cdef class TableStore:
    cdef readonly dict adapters, forms
    cdef readonly tuple tables
    cdef readonly bytes was
    cdef ChangeReader _reader
    cdef set _own

    @cython.locals(reader=ChangeReader, ring=ChangeRing, keys=list, state=int, table=int,
                   adapter=Adapter, taken=Py_ssize_t)
    cpdef Py_ssize_t take(self, Py_ssize_t limit, long long now, Telling telling) except -2
    @cython.locals(table=Table, key=bytes, payload=bytes, body=bytes)
    cdef int _read(self, Adapter adapter, list keys, Telling telling) except -1
    cdef _resume(self)
    @cython.locals(adapter=Adapter, payload=bytes)
    cpdef bytes fetch(self, int table, bytes key)
    @cython.locals(keys=list, adapter=Adapter, table=int, key=bytes)
    cpdef int warm(self, list records) except -1
    @cython.locals(adapter=Adapter, payload=bytes, stamp=uint64_t, ours=bytes, merged=bytes, _=int)
    cpdef bytes apply(self, int table, bytes key, bytes body, horizon)
    @cython.locals(adapter=Adapter, number="long long", following="long long", key=bytes,
                   payload=bytes, body=bytes, found=list)
    cpdef tuple scan(self, long long cursor, Py_ssize_t limit)
