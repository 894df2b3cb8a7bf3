cimport cython
from proxy.dialog.dialog cimport Dialog
from proxy.dialog.route_set cimport names_host, target_of
from proxy.registrar.lookup cimport Target
from proxy.routing.header_changes cimport contact_given
from proxy.routing.node cimport Node
from proxy.routing.relay cimport Relay
from proxy.routing.reply cimport Revision
from proxy.shm.packed cimport get_u32
from proxy.sip.address cimport Address
from proxy.sip.headers cimport contact_uri
from proxy.sip.message cimport Message, parse
from proxy.sip.patching cimport cancel_for, forwarded_response, response
from proxy.transaction.layer cimport Transaction, TransactionLayer, TransactionUser

cdef int FWD_REPLIES, TM_LOCAL_REPLIES, TM_RELAYED_REPLIES, CONTACT
cdef int AT_FLAGS
cdef unsigned int REINVITE_PING
cdef bytes NOTHING

@cython.locals(value=bytes)
cdef bytes where_is(Message response, Target target, Address seen)

cdef class Attempt(TransactionUser):
    cdef readonly Target target
    cdef public int status
    cdef public Message response
    cdef public bytes datagram
    cdef aim_at(self, Target target)

cdef class Upstream:
    cdef readonly Node node
    cdef readonly Relay relay
    cdef readonly Transaction server
    cdef public list branches
    cdef public int final_status
    cdef public bint cancelled
    cdef readonly bint invite
    cdef readonly unsigned int number
    cdef public Dialog dialog
    cdef bytes dialog_key
    cdef bytes did
    cdef public Revision revision
    cdef begin(self, Node node, Relay relay, Transaction server)
    @cython.locals(times=int, target=Target, earlier=Target, other=Attempt)
    cpdef int tried_before(self, Attempt attempt) except -1
    @cython.locals(relay=Relay)
    cpdef assure(self, double now)
    @cython.locals(datagram=bytes, sent=bint, status=int)
    cpdef forward(self, Message message, Attempt attempt, double now)
    cpdef send_best(self, double now)
    @cython.locals(dialog=Dialog, socket=bytes, contact=bytes, reached=bytes, seen=Address,
                   listener=Address, relay=Relay)
    cpdef tell_dialog(self, Message message, Attempt attempt, Transaction client)
    @cython.locals(relay=Relay, asking=bytes, reached=bytes)
    cpdef refresh(self, Dialog dialog, Message answer, bytes contact, Attempt attempt, Address seen)
    @cython.locals(dialog=Dialog)
    cdef close_dialog(self)
    @cython.locals(found=Dialog)
    cdef Dialog reopened(self)
    @cython.locals(dialog=Dialog)
    cpdef keep_dialog(self)
    @cython.locals(dialog=Dialog)
    cpdef fall_through(self)
    @cython.locals(message=Message, datagram=bytes)
    cpdef send_failure(self, Attempt chosen, double now)
    @cython.locals(attempt=Attempt)
    cpdef forget_failures(self)
    @cython.locals(attempt=Attempt)
    cpdef Attempt chosen(self)
    @cython.locals(chosen=Attempt)
    cpdef int best_status(self) except -1
    cpdef int local_status(self, int status) except -1
    @cython.locals(layer=TransactionLayer, datagram=bytes, branch=bytes)
    cpdef send_cancel(self, Transaction client, object owner, double now)
    @cython.locals(relay=Relay)
    cpdef refuse(self, int status, double now)
