cimport cython

from proxy.shm.profile_table cimport ProfileTable

cdef Py_ssize_t PROFILE_VALUE_BYTES


@cython.final
cdef class Profiles:
    cdef readonly ProfileTable table
    cdef readonly tuple with_value
    cdef readonly dict names

    cpdef bytes key(self, bytes name, bytes value)
