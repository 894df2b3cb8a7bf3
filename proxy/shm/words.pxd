cimport cython

cdef unsigned long long LOW

cpdef unsigned int get_u16(const unsigned char *p, Py_ssize_t at) noexcept
@cython.locals(value="unsigned int")
cpdef unsigned int get_u32(const unsigned char *p, Py_ssize_t at) noexcept
@cython.locals(high="unsigned long long")
cpdef unsigned long long get_u64(const unsigned char *p, Py_ssize_t at) noexcept
cpdef void put_u16(unsigned char *p, Py_ssize_t at, unsigned int value) noexcept
cpdef void put_u32(unsigned char *p, Py_ssize_t at, unsigned int value) noexcept
cpdef void put_u64(unsigned char *p, Py_ssize_t at, unsigned long long value) noexcept

