cimport cython

from proxy.shm.table cimport Table


@cython.final
cdef class LocationTable(Table):
    pass
