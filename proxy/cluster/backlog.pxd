cimport cython

from proxy.shm.packed cimport get_u16, put_u16
from proxy.sip.draft cimport Draft

cdef Py_ssize_t NOTE_HEAD
cdef bytes _HEAD

cpdef bytes note_of(unsigned int table, bytes key)
@cython.locals(at=Py_ssize_t, p="unsigned char *")
cpdef int add_note(Draft to, unsigned int table, bytes key) except -1
@cython.locals(p="const unsigned char *", size=Py_ssize_t, at=Py_ssize_t, key_at=Py_ssize_t,
               end=Py_ssize_t, found=list)
cpdef list notes_in(bytes notes, Py_ssize_t skipped, Py_ssize_t limit)
