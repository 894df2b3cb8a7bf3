cimport cython
from proxy.sip.message cimport Message

cdef frozenset PROTECTED

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

cpdef check_name(bytes name)
cpdef check_value(bytes value)
