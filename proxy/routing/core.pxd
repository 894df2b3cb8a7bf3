cimport cython
from proxy.limits.overload cimport Shedder
from proxy.registrar.lookup cimport Target, lookup, target_for
from proxy.routing.locate cimport NextHop, literal, next_hop
from proxy.routing.node cimport Node
from proxy.routing.relay cimport Relay
from proxy.routing.request cimport Request, request_from
from proxy.routing.renumbering cimport unshifted
from proxy.routing.shedding cimport turns_away
from proxy.routing.tracking cimport acknowledge, find_numbers, pass_by, target_within
from proxy.shm.slots cimport Counters
from proxy.sip.address cimport Address, address_from
from proxy.sip.headers cimport Via
from proxy.sip.message cimport Message, parse
from proxy.sip.patching cimport forwarded_response
from proxy.sip.scanner cimport classify
from proxy.sip.uri cimport Uri, aor_key, parse_uri
from proxy.transaction.layer cimport Transaction, TransactionLayer

cdef int KIND_SIP, KIND_STUN, STAGE, TAG_BYTES
cdef int ABSORBED, NEW_REQUEST, STRAY_ACK
cdef int BAD_MSG_HDR, DROP_REPLIES, DROP_REQUESTS, DROPPED_MALFORMED, ERR_REQUESTS, FWD_REPLIES
cdef int INTERNAL_LISTENER, INTERNAL_MESSAGES
cdef int BAD_URIS_RCVD, ERR_REPLIES, INTERNAL_ERRORS, SL_CLASS_REPLIES, SL_SENT_ERR_REPLIES
cdef int SL_SENT_REPLIES
cdef int FWD_REQUESTS, KEEPALIVES, RCV_REPLIES, RCV_REQUESTS, RETRANSMISSIONS_ABSORBED
cdef int SL_RECEIVED_ACKS, STATELESS_REQUESTS, STATELESS_RESPONSES, STUN, TM_RECEIVED_REPLIES
cdef int ROUTE, VIA

@cython.final
cdef class ProxyCore:
    cdef readonly Node node
    cdef public object policy
    @cython.locals(listener=int, data=bytes, start=Py_ssize_t, part=list, found=list,
                   index=Py_ssize_t, answers="unsigned int", message=Message,
                   layer=TransactionLayer)
    cpdef receive_batch(self, list batch)
    @cython.locals(listener=int, sockaddr=bytes, data=bytes, shedder=Shedder, index=Py_ssize_t)
    cdef take_some(self, list part, list found, unsigned int which)
    cdef take(self, object found, bytes data, bytes sockaddr, int listener)
    cpdef run_errand(self, bytes data)
    cpdef receive(self, bytes data, Address source, int listener)
    @cython.locals(message=Message)
    cdef act(self, object found, bytes data, Address source, int listener)
    cdef answer_other(self, object found, bytes data, Address source, int listener)
    cpdef answer_keepalive(self, int kind, bytes data, Address source, int listener)
    cpdef survive(self, object error, bytes message=*)
    cpdef refuse(self, bytes data, object error, Address source, int listener)
    cpdef bint answer_without_state(
        self, bytes data, object error, Address source, int listener) except *
    @cython.locals(node=Node, found=int, request=Request)
    cpdef receive_request(self, Message message, Address source, int listener)
    @cython.locals(node=Node)
    cpdef receive_response(self, Message message, Address source, int listener)
    @cython.locals(node=Node, top=Via, below=Via, address=Address, towards=int, vias=list)
    cpdef stray_response(self, Message message, Address source, int listener)
    @cython.locals(node=Node, message=Message)
    cpdef stray_ack(self, Request request)
    @cython.locals(node=Node, server=Transaction)
    cpdef cancel(self, Request request)
    @cython.locals(targets=list, target=Target, breadth=int)
    cpdef bint send_on(self, Request request) except *
    cpdef list stray_targets(self, Request request)
    @cython.locals(node=Node)
    cpdef list phones_of(self, Uri uri)
    @cython.locals(host=bytes, phone=Target, where=bytes)
    cpdef bint is_from_phone(self, Request request) except *
    @cython.locals(node=Node, address=Address, hop=NextHop)
    cpdef send_to(self, Request request, Target target, int breadth)
    @cython.locals(node=Node, relay=Relay, listener=int, branch=bytes)
    cpdef send_stateless(self, Request request, Target target, Address address, int breadth)

cdef object read(int listener, bytes data)
@cython.locals(status=int)
cdef bint is_wanted(Message response) except *
