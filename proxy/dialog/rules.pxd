cimport cython

@cython.final
cdef class DialogRules:
    cdef readonly unsigned int node, default_timeout, delete_delay, setup_seconds
    cdef readonly bint automatic, refuse_when_full, refuse_late, replicated
    cdef readonly object intervals
    cdef readonly bytes tag
