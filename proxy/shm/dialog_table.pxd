cimport cython
from libc.stdint cimport uint32_t, uint64_t

from proxy.shm.table cimport Table

cdef size_t _LINE, _UNITS_SUM, _EPOCH_AT, _BLOCK_AT
cdef unsigned long long _FIELD


@cython.final
cdef class DialogTable(Table):
    cpdef uint32_t begin_epoch(self, long long now) except? 0
    cpdef uint32_t id_epoch(self) except? 0
    @cython.locals(block="uint32_t")
    cpdef uint64_t take_ids(self) except? 1
    @cython.locals(line="size_t", units="uint64_t", early="uint64_t", active="uint64_t")
    cpdef tuple gauges(self)
    cpdef list alike(self, uint32_t hash32)
