cimport cython

from proxy.cluster.form cimport Form
from proxy.registrar.record cimport binding_count, string
from proxy.shm.mixing cimport fnv1a, fnv1a_part, hash_words, mix
from proxy.shm.packed cimport get_u16, get_u32, get_u64, put_u32, put_u64
from proxy.sip.draft cimport Draft

cdef int AT_CSEQ, AT_EXPIRES, AT_FLAGS, AT_LENGTHS, AT_ORIGIN, AT_REG_ID, AT_STRINGS, BINDING
cdef int CONTACT, FORMAT, HEAD, INSTANCE, STRINGS, REMOVED
cdef int BRIEF, HASH, MOST_BINDINGS, MOST_BYTES
cdef unsigned long long ALL
cdef Draft _draft

@cython.locals(reg_id="unsigned int")
cpdef bytes identity(bytes payload, Py_ssize_t at)
@cython.locals(value="unsigned long long", version="unsigned long long",
               told="unsigned long long", start=Py_ssize_t)
cpdef unsigned long long binding_stamp(bytes payload, Py_ssize_t at) except? 0
@cython.locals(left="unsigned long long", right="unsigned long long", origin="unsigned int",
               our_origin="unsigned int")
cpdef bint is_newer(bytes theirs, Py_ssize_t at, bytes ours, Py_ssize_t our_at) except *
cdef tuple _rest(bytes payload, Py_ssize_t at)
@cython.locals(start=Py_ssize_t, size=Py_ssize_t, field=int)
cdef bytes _strings(bytes payload, Py_ssize_t at)
@cython.locals(count=Py_ssize_t, index=Py_ssize_t, news=Py_ssize_t, chosen=dict)
cpdef bytes merge(bytes ours, bytes theirs)
@cython.locals(name=bytes, held=tuple)
cdef bint _choose(dict chosen, bytes payload, Py_ssize_t at) except *
@cython.locals(everything=bytes, everything_at=Py_ssize_t, payload=bytes, at=Py_ssize_t,
               from_ours=Py_ssize_t)
cdef bytes _without_removed(dict chosen, bytes ours, bytes theirs)
@cython.locals(left="unsigned long long", right="unsigned long long")
cpdef bint precedes(bytes payload, Py_ssize_t at, bytes other, Py_ssize_t other_at) except -1
@cython.locals(count=Py_ssize_t, head=bytearray, pieces=list, size=Py_ssize_t, to=Py_ssize_t,
               payload=bytes, at=Py_ssize_t, text=bytes)
cpdef bytes record_of(list bindings)
@cython.locals(expires="unsigned int")
cdef bint _is_over(bytes payload, Py_ssize_t at, unsigned int me, unsigned long long now_s,
                   unsigned long long grace_s, unsigned long long before) except *

@cython.locals(p="const unsigned char *", size=Py_ssize_t, index=Py_ssize_t,
               version="unsigned long long")
cdef bint _is_sound_brief(bytes body) except *


cdef class BindingsForm(Form):
    @cython.locals(count=Py_ssize_t, index=Py_ssize_t, at=Py_ssize_t)
    cpdef bint sound(self, bytes body) except -1
    @cython.locals(p="const unsigned char *", index=Py_ssize_t, highest="unsigned long long",
                   version="unsigned long long")
    cpdef unsigned long long newest(self, bytes body) except? 0
    @cython.locals(index=Py_ssize_t, at=Py_ssize_t, live="unsigned long long",
                   dead="unsigned long long")
    cpdef int look(self, bytes body) except -1
    @cython.locals(p="const unsigned char *")
    cpdef unsigned long long rest(self, bytes body) except? 0
    @cython.locals(p="const unsigned char *", end=Py_ssize_t, draft=Draft, q="unsigned char *")
    cpdef bytes brief(self, bytes body, unsigned long long rest)
    @cython.locals(end=Py_ssize_t, draft=Draft, q="unsigned char *", whole=bytes)
    cpdef bytes restored(self, bytes body, bytes ours)
    cpdef bytes merge(self, bytes ours, bytes theirs)
    @cython.locals(count=Py_ssize_t, index=Py_ssize_t, over=Py_ssize_t, at=Py_ssize_t, kept=list)
    cpdef bytes prune(self, bytes body, unsigned int me, unsigned long long now_s,
                      unsigned long long grace_s, unsigned long long before)
