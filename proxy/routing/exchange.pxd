cimport cython
from proxy.dialog.dialog cimport Dialog
from proxy.routing.node cimport Node
from proxy.routing.relay cimport Relay
from proxy.routing.response_context cimport ForkUser, ResponseContext
from proxy.routing.route cimport prepare_routes
from proxy.sip.address cimport Address, address_of
from proxy.sip.message cimport Message
from proxy.sip.patching cimport response
from proxy.sip.scanner cimport stands_alone
from proxy.transaction.layer cimport Transaction, TransactionLayer

cdef int LOOPS_DETECTED, SL_1XX_REPLIES, SL_SENT_REPLIES, TM_UAS_TRANSACTIONS, TOO_MANY_HOPS
cdef int TRANSACTIONS_REFUSED
cdef int RELAYED_HEADER_LINES
cdef int PROXY_REQUIRE, SIP_PORT

cdef class Exchange(ForkUser):
    cdef readonly Node node
    cdef readonly Message message
    cdef readonly Address source
    cdef readonly int listener
    cdef readonly Relay relaying
    cdef readonly str method
    cdef public Transaction server
    cdef public ResponseContext context
    cdef public int answered
    cdef public bint dropped
    cdef readonly bint elsewhere
    cdef public bint cancelled
    cdef public bint waiting
    cdef public bint own_route
    cdef public Dialog tracked
    cdef begin(self, Node node, Message message, Address source, int listener)
    cpdef prepare(self)
    cpdef bint passes(self) except *
    @cython.locals(message=Message)
    cpdef bint may_be_relayed(self) except *
    @cython.locals(layer=TransactionLayer)
    cpdef bint hold(self) except *
    @cython.locals(port=int)
    cpdef bint handed_over(self) except *
    cpdef Address reply_address(self)
    @cython.locals(node=Node, tag=bytes, via=bytes, datagram=bytes)
    cpdef answer(self, int status, bytes reason, bytes headers, bytes body)
    cpdef refuse(self, int status, bytes headers=*)
    @cython.locals(context=ResponseContext)
    cpdef cancel(self, double now)
