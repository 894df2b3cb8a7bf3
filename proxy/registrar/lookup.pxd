cimport cython

from proxy.shm.table cimport Table
from proxy.registrar.binding cimport Faults
from proxy.shm.packed cimport get_u16, get_u32
from proxy.registrar.record cimport binding_count, is_live, string

cdef int AT_FLAGS, AT_METHODS, AT_Q, BINDING, CONTACT, HEAD, PATH, RECEIVED, SOCKET
cdef unsigned int NO_Q

cdef int DEFAULT_Q
cdef dict METHOD_BITS
cdef unsigned int OTHER_METHOD


@cython.final
cdef class Target:
    cdef readonly bytes uri, received, path, socket
    cdef readonly int q
    cdef readonly unsigned int methods
    cdef readonly unsigned short flags


@cython.locals(payload=bytes, targets=list, count=Py_ssize_t, _=Py_ssize_t, at=Py_ssize_t,
               wanted="unsigned int", methods="unsigned int")
cpdef list lookup(Table table, bytes aor_key, str method, unsigned int now, Faults faults=*)
@cython.locals(target=Target, q="unsigned int")
cdef Target target_at(bytes payload, Py_ssize_t at, unsigned int methods)
cpdef bint registered(Table table, bytes aor_key, unsigned int now) except -1
@cython.locals(target=Target)
cpdef Target target_for(bytes uri)
