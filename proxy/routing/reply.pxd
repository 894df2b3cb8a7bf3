cimport cython
from proxy.registrar.lookup cimport Target
from proxy.routing.header_changes cimport HeaderChanges, contact_given
from proxy.sip.message cimport Message
from proxy.sip.patching cimport forwarded_response

cdef int FROM, TO

@cython.final
cdef class Reply:
    cdef readonly Message message
    cdef readonly Target target
    cdef readonly HeaderChanges changes
    cdef readonly bint dropped
    cpdef add_header(self, bytes name, bytes value)
    cpdef int remove_header(self, bytes name) except -1
    cpdef replace_header(self, bytes name, bytes value)
    cpdef drop(self)

@cython.final
cdef class Revision:
    cdef readonly object request
    cdef readonly object handler
    cdef readonly bytes contact
    @cython.locals(reply=Reply, changes=HeaderChanges)
    cpdef bytes revised(self, Message message, Target target, bytes lines)
    @cython.locals(message=Message, originals=dict, tag=bytes)
    cpdef restore(self, Reply reply)
