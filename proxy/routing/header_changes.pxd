cimport cython
from proxy.routing.identity cimport Identity
from proxy.sip.headers cimport contact_uri
from proxy.sip.message cimport Message
from proxy.sip.uri cimport parse_uri

cdef frozenset PROTECTED
cdef int CONTACT
cdef Py_ssize_t DIALOG_CONTACT_BYTES

@cython.final
cdef class HeaderChanges:
    cdef readonly Message message
    cdef readonly list lines
    cdef readonly tuple edits
    cpdef bytes insert(self)
    @cython.locals(line=bytes)
    cpdef add(self, bytes name, bytes value)
    @cython.locals(kept=list, gone=set, removed=int)
    cpdef int remove(self, bytes name) except -1
    @cython.locals(found=list)
    cpdef replace(self, bytes name, bytes value)
    cpdef edit(self, int index, bytes value)

    @cython.locals(first=int, index=int, value=bytes, line=bytes, name=bytes)
    cpdef bytes given(self, int header)

@cython.locals(value=bytes, uri=bytes, ours=bint)
cpdef bytes contact_given(HeaderChanges changes, Identity identity)
cpdef check_name(bytes name)
cpdef check_value(bytes value)
