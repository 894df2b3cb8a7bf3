cimport cython
from libc.stdint cimport uint16_t, uint32_t, uint64_t

from proxy.shm.arena cimport Arena

cdef unsigned long long _LOW
cdef uint32_t _NEXT, _STATE, _HASH, _GENERATION, _FREE, _CLAIMED
cdef int _LISTS, _CLASSES, _LOCKED, _OWNER_DIED, _BUSY, _GIVE_TRIES, _WAIT, _GROW, _LAST
cdef size_t _PAGE, _LINE, _BESIDE, _MAX_UNITS, _IS_BUSY


@cython.locals(check="uint32_t")
cdef uint32_t page_entry(uint32_t size_class, uint32_t free_list)


@cython.final
cdef class Slabs:
    cdef readonly Arena arena
    cdef readonly size_t lists_at, table_at, pages_at, page_count, hint_at, repairs_at
    cdef readonly size_t first_generation_at
    cdef readonly bytes by_units

    @cython.locals(size="size_t")
    cpdef size_t size_of(self, int size_class)

    @cython.locals(entry="uint32_t", size_class="int", free_list="int")
    cpdef int page_class(self, size_t page) except -2
    @cython.locals(page="size_t", size="size_t", offset="size_t", size_class="int")
    cpdef size_t slot_size(self, size_t at) except? 0
    @cython.locals(at="size_t")
    cpdef size_t follow(self, size_t link_at) except? 1
    @cython.locals(units="size_t", size_class="int", how="int", at="size_t")
    cpdef size_t take(self, size_t size, uint32_t hash32, size_t replaces) except 0
    @cython.locals(own="int", index="int", busy="bint", grow="int", at="size_t")
    cdef size_t _take_class(self, int size_class, uint32_t hash32, int how) except? 0
    @cython.locals(lock_at="size_t", got="int", at="size_t")
    cdef size_t _take_list(self, int size_class, int free_list, uint32_t hash32, int how) except? 1
    @cython.locals(head_at="size_t", at="size_t")
    cdef size_t _pop(self, int size_class, int free_list, uint32_t hash32, int how) except? 1
    @cython.locals(page="size_t", size="size_t", slots="size_t", first="size_t", index="size_t",
                   at="size_t", head_at="size_t", follows="uint32_t", generation="uint32_t")
    cdef bint _grow(self, int size_class, int free_list) except -1
    @cython.locals(size_class="int", free_list="int", page="size_t")
    cpdef int release_pages(self) except -1
    @cython.locals(entry="uint32_t", lock_at="size_t", released="int", got="int", page="size_t")
    cdef int _release_list(self, int size_class, int free_list) except -1
    @cython.locals(size="size_t", first="size_t", at="size_t", generation="uint32_t",
                   used="uint32_t")
    cpdef bint release(self, size_t page) except -1
    @cython.locals(page="size_t", lock_at="size_t", entry="uint32_t", size_class="int",
                   free_list="int", got="int", tries="int")
    cpdef bint give(self, size_t at) except -1
    cdef int _take_over(self, int size_class, int free_list) except -1
    @cython.locals(entry="uint32_t", page="size_t", at="size_t", end="size_t", size="size_t", head="size_t")
    cpdef int rebuild(self, int size_class, int free_list) except -1
    cpdef size_t lock_of(self, int size_class, int free_list)
    cpdef int acquire(self, int size_class, int free_list) except -1
    @cython.locals(lock_at="size_t", got="int")
    cpdef bint mend(self, int size_class, int free_list) except -1
