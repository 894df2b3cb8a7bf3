cimport cython
from proxy.registrar.lookup cimport Target, lookup, target_for
from proxy.registrar.save cimport RegisterResult, save
from proxy.routing.node cimport Node
from proxy.routing.pending cimport Pending
from proxy.routing.relay cimport Relay
from proxy.routing.response_context cimport ForkUser, ResponseContext
from proxy.routing.route cimport prepare_routes
from proxy.sip.address cimport Address, address_of
from proxy.sip.message cimport Message
from proxy.sip.patching cimport response
from proxy.sip.uri cimport Uri, aor_key, parse_uri
from proxy.transaction.layer cimport Transaction, TransactionLayer

cdef int LOOPS_DETECTED, REGISTRAR_ACCEPTED_REGS, REGISTRAR_REJECTED_REGS, SL_1XX_REPLIES
cdef int SL_SENT_REPLIES, TM_UAS_TRANSACTIONS, TOO_MANY_HOPS, TRANSACTIONS_REFUSED
cdef int RELAYED_HEADER_LINES
cdef int PROXY_REQUIRE, ROUTE, SIP_PORT
cdef dict REASONS

@cython.final
cdef class Outcome(Pending):
    cdef public int status
    cpdef end(self, int status)

cdef Outcome ENDED

@cython.final
cdef class Request(ForkUser):
    cdef readonly Node node
    cdef readonly Message message
    cdef readonly Address source
    cdef readonly int listener
    cdef readonly Relay relaying
    cdef readonly str method
    cdef public Transaction server
    cdef public ResponseContext context
    cdef public object coroutine
    cdef public Pending awaited
    cdef public Outcome outcome
    cdef public int answered
    cdef public bint dropped
    cdef public bint cancelled
    cdef public bint own_route
    cdef Uri _uri
    cpdef list lookup(self)
    cpdef record_route(self)
    cpdef add_header(self, bytes name, bytes value)
    @cython.locals(phrase=bytes)
    cpdef reply(self, int status, str reason=*, bytes headers=*, bytes body=*)
    @cython.locals(node=Node, tag=bytes, via=bytes, datagram=bytes)
    cpdef answer(self, int status, bytes reason, bytes headers, bytes body)
    @cython.locals(node=Node, local=bytes, result=RegisterResult, accepted=bint)
    cpdef save(self)
    cpdef drop(self)
    @cython.locals(outcome=Outcome, context=ResponseContext)
    cpdef Outcome relay(self, list targets=*)
    @cython.locals(message=Message)
    cpdef bint may_be_relayed(self) except *
    @cython.locals(layer=TransactionLayer)
    cpdef bint hold(self) except *
    @cython.locals(port=int)
    cpdef Address reply_address(self)
    cpdef bint passes(self) except *
    cpdef prepare(self)
    cpdef run(self, object policy)
    cpdef step(self)
    cpdef bint may_await(self, Pending pending) except *
    cpdef resume(self, Pending pending)
    cpdef fail(self, int status, str reason)
    cpdef mistaken(self, str error)
    @cython.locals(context=ResponseContext)
    cpdef ended(self)
    cpdef cancel(self, double now)
