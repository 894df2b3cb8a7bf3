cimport cython

cdef int COUNTER_BITS
cdef unsigned long long COUNTER_MASK
cdef unsigned long long MILLISECONDS_MASK
cdef unsigned long long LAST_VERSION


@cython.final
cdef class HybridClock:
    cdef readonly unsigned long long max_lead_ms
    cdef readonly unsigned long long last
    cdef readonly unsigned long long rejected

    @cython.locals(wall="unsigned long long", last="unsigned long long")
    cpdef unsigned long long tick(self, unsigned long long now_ms, unsigned long long floor=*) except? 0
    cpdef bint observe(self, unsigned long long version, unsigned long long now_ms)


cpdef unsigned long long milliseconds(unsigned long long version)
cpdef unsigned long long counter(unsigned long long version)
