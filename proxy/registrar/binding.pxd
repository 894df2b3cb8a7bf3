cimport cython

from proxy.registrar.record cimport binding_count, string
from proxy.shm.packed cimport get_u16, get_u32, get_u64, put_u16, put_u32, put_u64

cdef int AT_CSEQ, AT_EXPIRES, AT_FLAGS, AT_LENGTHS, AT_METHODS, AT_MODIFIED, AT_ORIGIN, AT_Q, AT_REG_ID, AT_STRINGS, AT_VERSION, BINDING, FORMAT, HEAD
cdef int CALL_ID, CONTACT, INSTANCE, PATH, RECEIVED, SOCKET, TAG, USER_AGENT
cdef unsigned int NO_Q
cdef unsigned long long LAST_VERSION

cdef int MOST_BINDINGS, LONGEST_STRING


@cython.final
cdef class Faults:
    cdef public unsigned long long corrupt
    cdef public unsigned long long conflicts
    cdef public unsigned long long full
    cdef public unsigned long long lock_timeouts


@cython.final
cdef class Binding:
    cdef public bytes contact, call_id, received, path, socket, instance, user_agent, tag
    cdef public unsigned long long version
    cdef public unsigned int cseq, expires, modified, methods, reg_id
    cdef public unsigned short flags, origin
    cdef public int q

    cpdef bint is_live(self, unsigned int now)


@cython.locals(count=Py_ssize_t, index=Py_ssize_t)
cpdef list decode(bytes payload)
@cython.locals(p="const unsigned char *", binding=Binding, q="unsigned int")
cdef Binding _decode_one(bytes payload, Py_ssize_t at)
@cython.locals(head=bytearray, pieces=list, size=Py_ssize_t, at=Py_ssize_t, count=Py_ssize_t,
               binding=Binding)
cpdef bytes encode(list bindings)
@cython.locals(p="unsigned char *", field=Py_ssize_t, length=Py_ssize_t, text=bytes)
cdef Py_ssize_t _encode_one(bytearray head, list pieces, Py_ssize_t at, Py_ssize_t size,
                            Binding binding) except -1
