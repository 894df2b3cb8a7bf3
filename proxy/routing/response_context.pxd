cimport cython
from proxy.registrar.lookup cimport Target
from proxy.routing.node cimport Node
from proxy.routing.relay cimport Relay
from proxy.routing.renumbering cimport answered_as
from proxy.routing.target_groups cimport grouped
from proxy.routing.upstream cimport Attempt, Upstream
from proxy.sip.address cimport Address
from proxy.sip.message cimport Message
from proxy.sip.patching cimport forwarded_response
from proxy.transaction.layer cimport Transaction, TransactionLayer, TransactionUser

cdef Relay SPENT
cdef int LOCATING, CALLING, PROCEEDING, FINAL, TIMER_C, CANCEL_PATIENCE
cdef int DROP_REPLIES, LOCATED_TARGETS
cdef int FWD_REQUESTS, TIMER_C_FIRED, TM_TIMEOUT_FINALRESPONSE_INV
cdef int TM_UAC_TRANSACTIONS, TRANSACTIONS_REFUSED

cdef class ForkUser(TransactionUser):
    cpdef settled(self, ResponseContext context, double now)
    cpdef succeeded(self, ResponseContext context, double now)

@cython.final
cdef class Branch(Attempt):
    cdef public ResponseContext context
    cdef readonly int breadth
    cdef public int state
    cdef public Transaction client
    cdef public bint cancel_wanted
    cdef public bint given_up
    cdef public bint written_off
    cdef public double timer_c_at
    cdef public Address address
    cdef public tuple addresses
    cdef begin(self, ResponseContext context, Target target, int breadth)
    cdef public int attempt
    @cython.locals(context=ResponseContext)
    cpdef located(self, object located)
    @cython.locals(context=ResponseContext)
    @cython.locals(left=double, layer=TransactionLayer)
    cpdef watch(self, Node node, double now)

@cython.final
cdef class ResponseContext(Upstream):
    cdef public ForkUser user
    cdef public list waiting
    cdef public int turns
    cdef public int open
    cdef open_for(self, ForkUser user, Node node, Relay relay, Transaction server)
    @cython.locals(groups=list)
    cpdef start(self, list targets, double now)
    @cython.locals(breadth=int)
    cpdef start_one(self, Target target, double now)
    @cython.locals(breadth=int, group=list)
    cpdef start_next(self, double now)
    @cython.locals(branch=Branch)
    cpdef shut_out(self, Target target, double now)
    @cython.locals(branch=Branch)
    cdef Branch add_branch(self, Target target, int breadth)
    @cython.locals(branch=Branch, address=Address)
    cpdef start_branch(self, Target target, int breadth, double now)
    cpdef located(self, Branch branch, object located)
    @cython.locals(node=Node, relay=Relay, address=Address, preferred=int, listener=int, name=bytes,
                   datagram=bytes, attempt=int)
    cpdef call(self, Branch branch, double now)
    @cython.locals(status=int)
    cpdef receive(self, Branch branch, Message message, double now)
    cpdef spoil(self, Branch branch, Message message, object error, double now)
    @cython.locals(status=int)
    cpdef progress(self, Branch branch, Message message, double now)
    @cython.locals(first=bint)
    cpdef succeed(self, Branch branch, Message message, double now)
    cpdef fail(self, Branch branch, int status, double now)
    cpdef bint try_next_address(self, Branch branch, double now) except *
    cpdef close(self, Branch branch, int status, Message message, double now)
    cpdef forward_best(self, double now)
    cpdef cancel(self, double now)
    cpdef end(self, int status, double now)
    @cython.locals(client=Transaction)
    @cython.locals(branch=Branch, last=int)
    cpdef time_out(self, bint silent, double now)
    @cython.locals(user=ForkUser)
    cpdef exhausted(self, double now)
    cpdef give_up_on(self, Branch branch, double now)
    @cython.locals(branch=Branch)
    cpdef cancel_open(self, double now)
    cpdef ring_out(self, Branch branch, double now)
    @cython.locals(client=Transaction)
    cpdef cancel_branch(self, Branch branch, double now)
