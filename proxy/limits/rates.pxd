from libc.stdint cimport uint64_t

cdef uint64_t _GOLDEN, _LOW

cpdef uint64_t estimate(uint64_t previous, uint64_t current, uint64_t passed,
                        uint64_t period) noexcept
cpdef bint is_among(uint64_t number, uint64_t part, uint64_t whole) noexcept
