cimport cython

from proxy.dialog.dialog cimport Dialog, make_dialog
from proxy.dialog.record cimport begin, did_of, did_text, find_leg, is_sound, key_of
from proxy.dialog.route_set cimport routes_to_caller, target_of
from proxy.dialog.rules cimport DialogRules
from proxy.dialog.store cimport DialogStore, version_of
from proxy.shm.mixing cimport fnv1a, mix
from proxy.shm.packed cimport get_u32, get_u64
from proxy.sip.grammar cimport cut
from proxy.sip.message cimport Message

cdef int AT_ANSWERED, AT_BRANCH, AT_CREATED, AT_FLAGS, AT_INVITE_CSEQ, AT_STATE, CONFIRMED, DELETED
cdef int URI_BYTES, ATTEMPTS
cdef unsigned int SEALED, WRITTEN, LOW
cdef int PROCESSED_DIALOGS, DIALOGS_UNTRACKED
cdef unsigned long long REFUSED
cdef bytes NOTHING, COOKIE


@cython.final
cdef class Tracker:
    cdef readonly DialogStore store

    @cython.locals(store=DialogStore, key=bytes, payload=bytes, made=bytes,
                   stamp="unsigned long long", _=int, branch="unsigned int", did=bytes,
                   beside=bint, place=bytes)
    cpdef Dialog create(self, Message invite, bytes socket, unsigned int flags=*,
                        unsigned int lifetime=*, bytes source=*, bytes reached=*,
                        bytes tag=*)
    @cython.locals(found=Dialog)
    cpdef Dialog find(self, Message message, bytes did=*)
    @cython.locals(key=bytes, payload=bytes, stamp="unsigned long long")
    cpdef Dialog of_invite(self, Message message, bytes branch, bytes did=*)
    cpdef unsigned int branch_hash(self, bytes branch, bytes request_uri) except? 0
    @cython.locals(payload=bytes, stamp="unsigned long long")
    cpdef Dialog open(self, bytes key)
    @cython.locals(payload=bytes, stamp="unsigned long long")
    cpdef bint discard(self, bytes key) except *
    @cython.locals(payload=bytes)
    cpdef bint is_live(self, bytes did, unsigned int hash32) except *
    @cython.locals(store=DialogStore, rules=DialogRules, floor="unsigned long long",
                   created="unsigned long long")
    cdef bytes _begun(self, Message invite, bytes did, bytes before, unsigned int branch,
                      bytes socket, unsigned int flags, unsigned int lifetime, bytes source,
                      bytes reached, bytes tag)
    @cython.locals(key=bytes, payload=bytes, stamp="unsigned long long", leg=Py_ssize_t,
                   found=Dialog)
    cdef Dialog _leg_of(self, Message message, bytes caller_tag, bytes callee_tag, bint from_caller,
                        bytes did)
    @cython.locals(store=DialogStore, aside="unsigned long long")
    cdef bint _put_aside(self, bytes key, bytes payload, unsigned long long stamp) except *

@cython.locals(p="const unsigned char *")
cdef bint is_same(bytes payload, unsigned int cseq, unsigned int branch) except -1
cdef bytes at_most(bytes uri)
