cimport cython
from libc.stdint cimport uint32_t, uint64_t

from proxy.shm.arena cimport Arena
from proxy.shm.slabs cimport Slabs
from proxy.shm.table cimport Table

cdef uint32_t _FREE, _LIVE, _MAX_CHAIN
cdef size_t _NEXT, _STATE, _HASH, _UNITS, _LINE, _BESIDE, _COUNT, _UNITS_SUM, _PAGE, _KIND
cdef int _CLASSES, _LISTS, _BUSY, _OWNER_DIED


@cython.locals(slabs=Slabs, arena=Arena, page="size_t", at="size_t", end="size_t", size="size_t",
               size_class="int", found="Py_ssize_t", seen="Py_ssize_t",
               visited="size_t")
cpdef Py_ssize_t scavenge(Table table, Py_ssize_t budget=*) except -1
@cython.locals(stripe="uint32_t", at="size_t", got="int", size_class="int", free_list="int")
cpdef int mend_locks(Table table) except -1
@cython.locals(hash32="uint32_t", stripe="uint32_t", stripe_at="size_t")
cdef bint _recover(Table table, size_t at) except -1
@cython.locals(here="size_t", steps="uint32_t")
cdef bint _linked(Table table, size_t at, uint32_t hash32) except -1
@cython.locals(arena=Arena, stripe="uint32_t", stripe_at="size_t", bucket="uint32_t",
               records="uint64_t", units="uint64_t", all_records="uint64_t", all_units="uint64_t")
cdef tuple _examine_stripes(Table table, bytearray kept, list faults, bint locking, bint counts)
@cython.locals(hash32="uint32_t")
cdef bint _moved(Table table, size_t at) except -1
@cython.locals(arena=Arena, at="size_t", records="uint64_t", units="uint64_t", steps="uint32_t")
cdef tuple _examine_chain(Table table, uint32_t bucket, bytearray kept, list faults)
@cython.locals(arena=Arena, slabs=Slabs, size_class="int", free_list="int", at="size_t",
               lock_at="size_t", free="uint64_t", size="size_t")
cdef uint64_t _examine_lists(Table table, bytearray kept, list faults, bint locking) except? 1
@cython.locals(arena=Arena, slabs=Slabs, page="size_t", at="size_t", end="size_t",
               size="size_t", size_class="int", slots="uint64_t", leaked="uint64_t")
cdef tuple _examine_pages(Table table, bytearray kept, bint locking)
