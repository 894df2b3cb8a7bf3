"""The table of destinations adds no C members."""

from proxy.shm.table cimport Table


cdef class DestinationTable(Table):
    pass
