cimport cython

cdef Py_ssize_t _RECORD_BYTES
cdef tuple _SIZES

cpdef bint has_ha1(bytes record, int kind) except *
@cython.locals(start=Py_ssize_t)
cpdef bytes ha1_in(bytes record, int kind)
