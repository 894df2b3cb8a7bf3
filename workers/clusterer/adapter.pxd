cimport cython

from proxy.cluster.form cimport Form
from proxy.shm.table cimport Table


cdef class Adapter:
    cdef readonly int table_id
    cdef readonly Table table
    cdef readonly Form form

    cpdef bytes body(self, bytes key, bytes payload)
    cpdef bint commit(self, bytes key, unsigned long long stamp, bytes payload,
                      bytes body) except -1
