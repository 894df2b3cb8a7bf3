"""One mapped file: bounds-checked words and bytes, robust locks. See arena.pyi for what each does."""

from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t


cpdef uint64_t fold(bytes data, uint64_t seed)
cpdef int64_t arm_crash(int64_t stores) noexcept


cdef class Arena:
    cdef unsigned char *base
    cdef readonly size_t size
    cdef readonly int descriptor
    cdef readonly str path
    cdef public int64_t lock_wait_ns

    cdef int _within(self, size_t at, size_t length, size_t align) except -1
    cpdef uint16_t u16(self, size_t at) except? 65535
    cpdef uint32_t u32(self, size_t at) except? 4294967295
    cpdef uint64_t u64(self, size_t at) except? 18446744073709551615
    cpdef int put_u16(self, size_t at, uint16_t value) except -1
    cpdef int put_u32(self, size_t at, uint32_t value) except -1
    cpdef int put_u64(self, size_t at, uint64_t value) except -1
    cpdef int add_u64(self, size_t at, int64_t amount) except -1
    cpdef int count_u64(self, size_t at, int64_t amount) except -1
    cpdef bint swap_u32(self, size_t at, uint32_t expected, uint32_t value) except -1
    cpdef uint64_t claim_u64(self, size_t at, uint64_t amount) except? 18446744073709551615
    cpdef bint swap_u64(self, size_t at, uint64_t expected, uint64_t value) except -1
    cpdef uint64_t sum_fresh(self, size_t at, size_t words, uint32_t oldest,
                             uint32_t span) except? 0
    cpdef bint unchanged(self, size_t at, uint32_t value) except -1
    cpdef int fence(self) except -1
    cpdef int put(self, size_t at, bytes data) except -1
    cpdef int zero(self, size_t at, size_t length) except -1
    cpdef bint is_zero(self, size_t at, size_t length) except -1
    cpdef bytes copy(self, size_t at, size_t length)
    cpdef bint equals(self, size_t at, bytes data) except -1
    cpdef int warm(self, size_t at, size_t length) except -1
    cpdef uint64_t fold(self, size_t at, size_t length, uint64_t seed) except? 0
    cpdef int make_lock(self, size_t at) except -1
    cpdef bint lock(self, size_t at) except -1
    cpdef int try_lock(self, size_t at) except -1
    cpdef int adopt(self, size_t at) except -1
    cpdef int unlock(self, size_t at) except -1
