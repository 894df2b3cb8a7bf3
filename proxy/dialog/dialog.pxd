cimport cython

from proxy.dialog.record cimport (
    did_of, did_text, find_leg, leg_string, string, with_leg, with_leg_string, with_string,
)
from proxy.dialog.route_set cimport routes_to_callee, target_of
from proxy.dialog.store cimport DialogStore, version_of
from proxy.shm.words cimport get_u16, get_u32, get_u64, put_u16, put_u32, put_u64
from proxy.sip.message cimport Message

cdef bytes TABLE
cdef int EVENTS, EARLY, CONFIRMED_NA, CONFIRMED, DELETED
cdef int PROVISIONAL, SUCCESS, SUCCESS_AFTER_BYE, ACK, BYE, FAILURE, GONE, TIMEOUT
cdef int UPSTREAM_BYE, DOWNSTREAM_BYE, FAILED, BY_CANCEL, ATTEMPTS, SIGN_OF_LIFE_S
cdef int AT_ANSWERED, AT_DUE, AT_END_CODE, AT_END_REASON, AT_ENDED, AT_FLAGS, AT_INVITE_CSEQ
cdef int AT_LEGS, AT_LIFETIME, AT_PROFILES, AT_STATE, AT_TIMEOUT, CONTACT, HEAD, LEG
cdef int LEG_ANSWERED, LEG_CALLER_CSEQ, LEG_CONTACT, LEG_CSEQ, LEG_END_REASON, LEG_ENDED
cdef int LEG_FLAGS, LEG_HAS_BYE, LEG_ROUTES, LEG_STATE, PROFILES, VARIABLES
cdef unsigned int RACE, CANCELLED, END_WANTED, BYES_OPEN, SEALED, WATCHED
cdef int BYE_AGAIN_S
cdef unsigned long long REFUSED
cdef int DIALOG_LEGS, DIALOG_PROFILES, VARIABLE_ROOM
cdef int DIALOGS_EXPIRED, DIALOGS_FAILED, PROFILE_REFUSALS, PROFILES_FULL


@cython.final
@cython.freelist(64)
cdef class Dialog:
    cdef public DialogStore store
    cdef public bytes key, payload, did
    cdef public unsigned long long stamp
    cdef public Py_ssize_t leg
    cdef public bint from_caller, cancelled

    @cython.locals(rest="long long")
    cpdef bint has_left(self) except *
    @cython.locals(draft=bytearray, _=int)
    cpdef provisional(self, Message response, bytes socket)
    @cython.locals(draft=bytearray, _=int, revived=bint)
    cpdef answered(self, Message response, bytes socket)
    @cython.locals(draft=bytearray, _=int, leg=Py_ssize_t, p="const unsigned char *")
    cpdef acknowledged(self)
    @cython.locals(draft=bytearray, _=int)
    cpdef bint hung_up(self, Message bye) except *
    @cython.locals(draft=bytearray, _=int, leg=Py_ssize_t, at=Py_ssize_t)
    cpdef requested(self, Message request)
    @cython.locals(payload=bytes, _=int, leg=Py_ssize_t)
    cpdef refreshed(self, Message request, Message response)
    @cython.locals(reason=int)
    cpdef bint failed(self, int status) except *
    @cython.locals(draft=bytearray, _=int, p="const unsigned char *")
    cpdef keep(self)
    @cython.locals(draft=bytearray, _=int, state=int, p="const unsigned char *", at=Py_ssize_t)
    cpdef bint end(self, int event, int reason, int code, unsigned int flags=*) except *
    @cython.locals(store=DialogStore, payload=bytes, stamp="unsigned long long", found=bytes)
    cdef bint _commit(self, bytearray draft) except *
    @cython.locals(p="const unsigned char *", payload=bytes, state=int, to=int, tag=bytes,
                   leg=Py_ssize_t, draft=bytearray)
    cdef bytearray _after_provisional(self, Message response, bytes socket)
    @cython.locals(p="const unsigned char *", payload=bytes, leg=Py_ssize_t, contact=bytes,
                   routes=bytes, event=int, draft=bytearray, to=int, cseq="unsigned int", tag=bytes)
    cdef bytearray _after_success(self, Message response, bytes socket)
    @cython.locals(p="unsigned char *", until="long long")
    cdef _open(self, bytearray draft, int status)
    cdef _watch(self, bytearray draft)
    @cython.locals(p="const unsigned char *", q="unsigned char *", leg=Py_ssize_t, at=Py_ssize_t,
                   ends=bint, draft=bytearray, reason=int)
    cdef bytearray _after_bye(self, Message bye)
    @cython.locals(p="unsigned char *", open_byes="unsigned int", delay=int)
    cdef _close(self, bytearray draft, int reason)
    cdef bytes _moved(self, bytes payload, bint caller, bytes target)
    cdef _count_end(self, int event, int state)
    @cython.locals(store=DialogStore, did=bytes)
    cdef bint _enter(self, bytes key, unsigned int limit) except *
    cdef _exit(self, bytes key)
    cdef _leave_all(self)
    cdef _join_again(self)


@cython.locals(p="const unsigned char *", at=Py_ssize_t, count=int)
cdef int confirmed_legs(bytearray payload) except -1
@cython.locals(made=Dialog)
cpdef Dialog make_dialog(DialogStore store, bytes key, bytes payload, unsigned long long stamp)
