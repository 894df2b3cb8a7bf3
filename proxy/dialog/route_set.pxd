cimport cython

from proxy.sip.grammar cimport find_byte, find_text, same_text
from proxy.sip.headers cimport contact_uri
from proxy.sip.message cimport Message

cdef int CONTACT, RECORD_ROUTE
cdef Py_ssize_t COOKIE_BYTES, DIALOG_CONTACT_BYTES, DIALOG_ROUTES_BYTES
cdef bytes DID_IS

@cython.locals(value=bytes, uri=bytes)
cpdef bytes target_of(Message message)
@cython.locals(index=int, data="const unsigned char *", start=Py_ssize_t, end=Py_ssize_t)
cpdef bint names_target(Message message, bytes uri) except -1
@cython.locals(p="const unsigned char *", at=Py_ssize_t, end=Py_ssize_t)
cpdef bint names_host(bytes value, bytes host) except -1
cpdef bytes routes_to_caller(Message request)
@cython.locals(first=int, ours=bytes, above=list, each=bytes)
cpdef bytes routes_to_callee(Message response, bytes did)
@cython.locals(data=bytes, start=Py_ssize_t, at=Py_ssize_t, end=Py_ssize_t)
cdef bint is_ours(Message response, int first, bytes did) except -1
@cython.locals(line=bytes)
cdef bytes bounded(list values)
