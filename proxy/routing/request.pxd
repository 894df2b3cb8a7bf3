cimport cython
from proxy.registrar.lookup cimport Target, lookup, target_for
from proxy.registrar.save cimport RegisterResult, save
from proxy.routing.node cimport Node
from proxy.routing.policy_run cimport Outcome, PolicyRun
from proxy.dialog.dialog cimport Dialog
from proxy.routing.pending cimport Pending
from proxy.routing.policy_run cimport Outcome, PolicyRun, Sleep
from proxy.routing.reply cimport Revision
from proxy.routing.response_context cimport ResponseContext
from proxy.routing.tracking cimport begin, dialog_of, may_be_tracked, target_within, tracker_of
from proxy.sip.address cimport Address
from proxy.sip.headers cimport NameAddr
from proxy.sip.message cimport Message
from proxy.sip.uri cimport Uri, aor_key, parse_uri, uri_with

cdef int FROM, TO
cdef int REGISTRAR_ACCEPTED_REGS, REGISTRAR_REJECTED_REGS

@cython.final
cdef class Request(PolicyRun):
    cdef Uri _uri
    cdef dict _values
    cdef Uri _parsed_uri(self)
    @cython.locals(node=Node, key=bytes)
    cpdef list lookup(self, bytes uri=*)
    cpdef bint pipe(self, str name, object limit=*, str algorithm=*) except *
    cpdef bint create_dialog(self, str flags=*, int timeout=*, str tag=*) except *
    @cython.locals(dialog=Dialog)
    cpdef bint join_profile(self, str name, str value=*, object limit=*) except *
    @cython.locals(dialog=Dialog)
    cpdef bint leave_profile(self, str name, str value=*) except *
    cpdef bint fix_route(self) except *
    cpdef record_route(self)
    cpdef add_header(self, bytes name, bytes value)
    cpdef int remove_header(self, bytes name) except -1
    cpdef replace_header(self, bytes name, bytes value)
    cpdef change_uri(self, bytes user=*, bytes host=*, object port=*)
    cpdef change_from(self, bytes display=*, bytes uri=*)
    cpdef change_to(self, bytes display=*, bytes uri=*)
    @cython.locals(phrase=bytes)
    cpdef reply(self, int status, str reason=*, bytes headers=*, bytes body=*)
    @cython.locals(node=Node, local=bytes, result=RegisterResult, accepted=bint)
    cpdef save(self)
    cpdef drop(self)
    @cython.locals(outcome=Outcome, context=ResponseContext)
    cpdef Outcome relay(self, list targets=*, object timeout=*, object silence=*)
    cpdef Pending sleep(self, double seconds)
    cpdef Pending http_get(self, str url, double timeout=*)
    cpdef Pending http_post(self, str url, bytes body, double timeout=*, str content_type=*)
    @cython.locals(node=Node)
    cpdef Pending _look_up(self, str url, bytes body, str content_type, double timeout)
    cpdef _rename(self, int header, NameAddr address, bytes display, bytes uri)

@cython.locals(made=Request)
cpdef Request request_from(Node node, Message message, Address source, int listener)
