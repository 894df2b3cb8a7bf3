cimport cython

from proxy.dialog.record cimport did_of, did_text, string, with_string
from proxy.dialog.steps cimport (
    after_bye, after_provisional, after_success, as_sent, close, is_fresh, moved, watch,
)
from proxy.dialog.store cimport DialogStore, version_of
from proxy.shm.packed cimport drafted, get_u32, put_u16, put_u32
from proxy.sip.message cimport Message

cdef bytes TABLE
cdef int EVENTS, EARLY, CONFIRMED, DELETED, ACK, FAILURE, TIMEOUT, FAILED, BY_CANCEL, ATTEMPTS
cdef int AT_DUE, AT_END_CODE, AT_FLAGS, AT_PROFILES, AT_STATE
cdef int LEG_CALLER_CSEQ, LEG_CSEQ, LEG_STATE, PROFILES, VARIABLES
cdef bytes NOTHING
cdef unsigned long long REFUSED
cdef int DIALOG_PROFILES, VARIABLE_ROOM
cdef int EXPIRED_DIALOGS, FAILED_DIALOGS, PROFILE_REFUSALS, PROFILES_FULL


@cython.final
cdef class Dialog:
    cdef public DialogStore store
    cdef public bytes key, payload, did
    cdef public unsigned long long stamp
    cdef public Py_ssize_t leg
    cdef public bint from_caller, cancelled, refused
    cdef public unsigned long long asked_ms

    @cython.locals(draft=bytearray, _=int)
    cpdef provisional(self, Message response, bytes socket, bytes destination,
                      bytes contact=*, bytes reached=*)
    @cython.locals(draft=bytearray, _=int, revived=bint)
    cpdef answered(self, Message response, bytes socket, bytes destination,
                   bytes contact=*, bytes reached=*)
    @cython.locals(draft=bytearray, _=int, leg=Py_ssize_t, p="const unsigned char *")
    cpdef acknowledged(self)
    @cython.locals(draft=bytearray, _=int, was_live=bint, ended=bint)
    cpdef bint hung_up(self, unsigned int cseq, int status) except *
    @cython.locals(draft=bytearray, _=int, leg=Py_ssize_t, at=Py_ssize_t)
    cpdef requested(self, Message request)
    @cython.locals(payload=bytes, _=int, leg=Py_ssize_t)
    cpdef refreshed(self, bytes contact, bytes reached, bytes other_contact, bytes other_reached)
    @cython.locals(payload=bytes, _=int)
    cpdef sent_as(self, bytes contact, bytes from_uri, bytes to_uri)
    @cython.locals(reason=int)
    cpdef bint failed(self, int status) except *
    @cython.locals(draft=bytearray, _=int, p="const unsigned char *")
    cpdef keep(self)
    @cython.locals(draft=bytearray, _=int, state=int, p="const unsigned char *")
    cpdef bint end(self, int event, int reason, int code, unsigned int flags=*) except *
    @cython.locals(store=DialogStore, payload=bytes, stamp="unsigned long long", found=bytes)
    cdef bint _commit(self, bytearray draft) except *
    cdef _count_end(self, int event, int state)
    @cython.locals(store=DialogStore, did=bytes)
    cdef bint _enter(self, bytes key, unsigned int limit) except *
    cdef _exit(self, bytes key)
    cdef _leave_all(self)
    cdef _join_again(self)


@cython.locals(made=Dialog)
cpdef Dialog make_dialog(DialogStore store, bytes key, bytes payload, unsigned long long stamp)
