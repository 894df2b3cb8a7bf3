cimport cython

from proxy.dialog.dialog cimport Dialog, make_dialog
from proxy.dialog.record cimport begin, did_of, find_leg, is_sound, key_of
from proxy.dialog.route_set cimport routes_to_caller, target_of
from proxy.dialog.rules cimport DialogRules
from proxy.dialog.store cimport DialogStore
from proxy.shm.words cimport get_u32
from proxy.sip.message cimport Message

cdef int AT_INVITE_CSEQ, AT_STATE, DELETED, GONE, REPLACED, URI_BYTES, ATTEMPTS
cdef int PROCESSED_DIALOGS, DIALOGS_UNTRACKED
cdef unsigned long long REFUSED
cdef bytes NOTHING


@cython.final
cdef class Tracker:
    cdef readonly DialogStore store

    @cython.locals(store=DialogStore, rules=DialogRules, key=bytes, payload=bytes, made=bytes,
                   stamp="unsigned long long", _=int, cseq="unsigned int")
    cpdef Dialog create(self, Message invite, bytes socket, unsigned int flags=*,
                        unsigned int lifetime=*, bytes source=*)
    @cython.locals(found=Dialog)
    cpdef Dialog find(self, Message message)
    @cython.locals(key=bytes, payload=bytes, stamp="unsigned long long")
    cpdef Dialog of_response(self, Message response)
    @cython.locals(payload=bytes, stamp="unsigned long long")
    cpdef Dialog open(self, bytes key)
    @cython.locals(payload=bytes, stamp="unsigned long long")
    cpdef bint discard(self, bytes key) except *
    @cython.locals(payload=bytes)
    cpdef bint is_live(self, bytes did, unsigned int hash32) except *
    @cython.locals(key=bytes, payload=bytes, stamp="unsigned long long", leg=Py_ssize_t,
                   found=Dialog)
    cdef Dialog _leg_of(self, Message message, bytes caller_tag, bytes callee_tag, bint from_caller)
    @cython.locals(store=DialogStore, old=Dialog, aside=bytes)
    cdef bint _put_aside(self, bytes key, bytes payload, unsigned long long stamp) except *

cdef bytes at_most(bytes uri)
