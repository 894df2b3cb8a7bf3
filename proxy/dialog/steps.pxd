cimport cython

from proxy.dialog.record cimport (
    find_leg, grown_by_leg, leg_string, string, with_leg, with_leg_string, with_string,
)
from proxy.dialog.route_set cimport names_target, routes_to_callee, target_of
from proxy.dialog.store cimport DialogStore
from proxy.shm.packed cimport drafted, get_u32, get_u64, put_u16, put_u32, put_u64
from proxy.sip.message cimport Message

cdef bytes TABLE
cdef int EVENTS, EARLY, CONFIRMED_NA, CONFIRMED, DELETED
cdef int PROVISIONAL, SUCCESS, SUCCESS_AFTER_BYE, BYE, UPSTREAM_BYE, DOWNSTREAM_BYE
cdef int AT_ANSWERED, AT_DUE, AT_END_CODE, AT_END_REASON, AT_ENDED, AT_FLAGS, AT_INVITE_CSEQ
cdef int AT_LEGS, AT_LIFETIME, AT_STATE, AT_TIMEOUT, CONTACT, HEAD, LEG
cdef int LEG_ANSWERED, LEG_CALLER_CSEQ, LEG_CONTACT, LEG_CSEQ, LEG_END_REASON, LEG_ENDED
cdef int LEG_FLAGS, LEG_HAS_BYE, LEG_ROUTES, LEG_STATE
cdef int LEG_REACHED, REACHED, LEG_DESTINATION, LEG_SOCKET, LEG_TAG
cdef unsigned int RACE, CANCELLED, BYES_OPEN, END_WANTED, SEALED, WATCHED
cdef int MANGLED_FROM, MANGLED_TO, DIALOG_URI_BYTES
cdef int DIALOG_LEGS, SIGN_OF_LIFE_S, BYE_AGAIN_S

@cython.locals(rest="long long")
cpdef bint is_fresh(bytes payload, DialogStore store) except *
@cython.locals(p="const unsigned char *", state=int, to=int, tag=bytes, leg=Py_ssize_t,
               draft=bytearray)
cpdef bytearray after_provisional(bytes payload, DialogStore store, bytes did, Message response,
                                  bytes contact, bytes socket, bytes destination,
                                  bytes reached)
@cython.locals(p="const unsigned char *", leg=Py_ssize_t, contact=bytes, routes=bytes, event=int,
               draft=bytearray, to=int, cseq="unsigned int", tag=bytes)
cpdef bytearray after_success(bytes payload, DialogStore store, bytes did, Message response,
                              bytes contact, bytes socket, bytes destination, bytes reached,
                              bint cancelled)
cdef bytes contact_of(bytes payload, Py_ssize_t leg)
@cython.locals(p="const unsigned char *", at=Py_ssize_t)
cdef Py_ssize_t spare_leg(bytes payload) except -2
@cython.locals(p="unsigned char *", until="long long")
cdef open_up(bytearray draft, DialogStore store, int status, bint cancelled)
@cython.locals(p="const unsigned char *", q="unsigned char *", at=Py_ssize_t, ends=bint,
               draft=bytearray, reason=int, rises=bint, over=bint, ended_ms="unsigned long long")
cpdef bytearray after_bye(bytes payload, DialogStore store, Py_ssize_t leg, bint from_caller,
                          unsigned int cseq, int status, unsigned long long asked_ms,
                          bint cancelled)
cpdef watch(bytearray draft, DialogStore store)
@cython.locals(p="unsigned char *", at=Py_ssize_t, unanswered="unsigned int")
cpdef close(bytearray draft, DialogStore store, int reason, unsigned long long ended_ms,
            bint cancelled)
cpdef bytes moved(bytes payload, Py_ssize_t leg, bint caller, bytes contact, bytes reached)
@cython.locals(field=int, value=bytes)
cpdef bytes as_sent(bytes payload, bytes contact, bytes from_uri, bytes to_uri)
@cython.locals(p="const unsigned char *", at=Py_ssize_t, count=int)
cdef int confirmed_legs(bytearray payload) except -1
