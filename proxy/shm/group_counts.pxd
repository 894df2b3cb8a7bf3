cimport cython
from libc.stdint cimport uint32_t

from proxy.shm.profile_table cimport ProfileTable
from proxy.shm.packed cimport get_u32, put_u32

cdef size_t _INDEX, _GROUP, _GENERATION, _COUNT


@cython.final
cdef class GroupCounts:
    cdef readonly ProfileTable table
    cdef readonly bytearray seen
    cdef readonly dict keys
    cdef readonly uint32_t used

    @cython.locals(table=ProfileTable, p="unsigned char *", found=dict, gone=list, used=uint32_t,
                   group=uint32_t, generation=uint32_t, count=uint32_t, before=uint32_t,
                   at=size_t, key=bytes)
    cpdef dict changed(self)
