cimport cython

from proxy.cluster.form cimport Form
from proxy.dialog.record cimport did_of
from proxy.dialog.soundness cimport is_plausible_key, is_plausible_record
from proxy.shm.mixing cimport mix
from proxy.shm.packed cimport get_u16, get_u32, get_u64, put_u16, put_u32

cdef int AT_ANSWERED, AT_CREATED, AT_DUE, AT_FLAGS, AT_LEGS, AT_LENGTH, AT_LENGTHS, AT_NODE
cdef int AT_OWNER, AT_PROFILES, AT_STATE, AT_VERSION, HEAD, STRINGS, DELETED
cdef unsigned int SEALED, WRITTEN, CLOSED, NO_DUE

@cython.locals(draft=bytearray, p="unsigned char *", field=int)
cpdef bytearray buried(bytes payload)
@cython.locals(p="const unsigned char *")
cpdef bint is_buried(bytes payload) noexcept
@cython.locals(left="unsigned long long", right="unsigned long long", did=bytes, our_did=bytes)
cpdef bint is_newer(bytes theirs, bytes ours) except -1
@cython.locals(flags="unsigned int", known=int)
cpdef int certainty(bytes payload) except -1


cdef class DialogForm(Form):
    cpdef bint names(self, bytes key) except -1
    @cython.locals(flags="unsigned int")
    cpdef bint sound(self, bytes body) except -1
    cpdef unsigned long long newest(self, bytes body) except? 0
    @cython.locals(told="unsigned long long", version="unsigned long long",
                   stamp="unsigned long long", ended=bint)
    cpdef int look(self, bytes body) except -1
    cpdef bytes merge(self, bytes ours, bytes theirs)
    cpdef bytes prune(self, bytes body, unsigned int me, unsigned long long now_s,
                      unsigned long long grace_s, unsigned long long before)
