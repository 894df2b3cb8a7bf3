cimport cython
from libc.stdint cimport uint64_t

from proxy.shm.table cimport Table

cdef size_t _LINE, _UNITS_SUM
cdef uint64_t _NOBODY


@cython.final
cdef class LocationTable(Table):
    @cython.locals(users="long long", contacts="long long", line="size_t", units="uint64_t")
    cpdef tuple gauges(self)
