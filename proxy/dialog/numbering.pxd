cimport cython

from proxy.shm.packed cimport get_u32

cdef int LEG_BEFORE, LEG_CALLER_BEFORE, LEG_CALLER_GENERATED, LEG_CALLER_SINCE, LEG_GENERATED
cdef int LEG_SINCE

@cython.locals(generated="unsigned int", since="unsigned int")
cpdef unsigned int sent_as(
    bytes payload, Py_ssize_t leg, bint to_caller, unsigned int number) except? 0
@cython.locals(generated="unsigned int", since="unsigned int")
cpdef unsigned int came_as(
    bytes payload, Py_ssize_t leg, bint to_caller, unsigned int number) except? 0
