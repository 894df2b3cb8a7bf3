cimport cython

from proxy.registrar.commit cimport commit_record
from workers.clusterer.adapter cimport Adapter


cdef class LocationAdapter(Adapter):
    cpdef bytes body(self, bytes key, bytes payload)
    cpdef bint commit(self, bytes key, unsigned long long stamp, bytes payload,
                      bytes body) except -1
