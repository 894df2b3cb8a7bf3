cimport cython
from libc.stdint cimport uint32_t, uint64_t

from proxy.shm.arena cimport Arena
from proxy.shm.slabs cimport Slabs
from proxy.shm.table cimport Table

cdef uint32_t _LIVE, _FREE
cdef size_t _NEXT, _STATE, _HASH, _LINE, _PAGE
cdef int _CLASSES, _LISTS


cpdef int make_locks(Table table) except -1
cdef int _clear_pages(Table table) except -1
@cython.locals(bucket="uint32_t", at="size_t", link_at="size_t", bad="int", dropped="Py_ssize_t")
cdef Py_ssize_t _keep_reachable(Table table, bytearray kept, bytearray damaged) except -1
@cython.locals(page="size_t", at="size_t", end="size_t", size="size_t", size_class="int",
               state="uint32_t", bucket="uint32_t", freed="uint64_t", adopted="uint64_t")
cdef tuple _settle_slots(Table table, bytearray kept, bytearray damaged)
@cython.locals(at="size_t", length="size_t")
cdef bint _relink(Table table, size_t slot_at, uint32_t bucket) except -1
