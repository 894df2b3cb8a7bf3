cimport cython
from proxy.sip.address cimport Address
from proxy.sip.message cimport Message
from proxy.sip.scanner cimport hash_call_id
from proxy.transaction.matching cimport Matched, Matching, has_cookie, server_key
from proxy.transaction.timers cimport Queue, Timed, Timers

cdef int ABSORBED, NEW_REQUEST, STRAY_ACK, STRAY_RESPONSE
cdef int COMPLETED, ACCEPTED, TERMINATED
cdef int REQUEST, ACK, SEND_PROVISIONAL, SEND_SUCCESS, SEND_FAILURE
cdef int PROVISIONAL, SUCCESS, FAILURE, TRANSPORT_ERROR, RETRANSMIT, TIMEOUT, LINGER, STIMULI
cdef int SEND_RESPONSE, RESEND_RESPONSE, SEND_REQUEST, SEND_ACK, PASS
cdef int REPORT_TIMEOUT, REPORT_TRANSPORT_ERROR, START_RETRANSMIT, START_RETRANSMIT_T2
cdef int START_TIMEOUT, START_LINGER, START_LINGER_T4
cdef int CLIENT_INVITE, CLIENT_NON_INVITE, SERVER_INVITE, SERVER_NON_INVITE
cdef int ENDED, RESENT_T1, RESENT_T2, REPEATED, TALLIES, UNANSWERED
cdef int STATES, IGNORED, NOTHING, MOST
cdef int NEXT[336]
cdef int ACTIONS[1008]
cdef tuple FIRST_STATES
cdef tuple FIRST_ACTIONS
cdef Py_ssize_t PLACE_BYTES

cdef class TransactionUser(Timed):
    cpdef response_received(self, Transaction client, Message response, double now)
    cpdef timed_out(self, Transaction transaction, double now)
    cpdef transport_failed(self, Transaction transaction, double now)
    cpdef lagging(self, Transaction client, double now)
    cpdef released(self, Transaction transaction)

@cython.final
cdef class Transaction(Matched):
    cdef readonly TransactionLayer layer
    cdef readonly int machine
    cdef readonly unsigned int call
    cdef public TransactionUser user
    cdef readonly Address address
    cdef readonly int listener
    cdef public int state
    cdef public double interval
    cdef public bytes datagram
    cdef public Py_ssize_t places
    cdef begin(
        self, TransactionLayer layer, int machine, TransactionUser user, Address address, int listener,
        unsigned int call)
    @cython.locals(stimulus=int)
    cpdef bint respond(self, int status, bytes datagram, double now) except *

@cython.final
cdef class TransactionLayer:
    cdef readonly double t1, t2, t4, patience
    cdef public Py_ssize_t capacity
    cdef readonly Py_ssize_t taken
    cdef readonly Timers timers
    cdef Queue after_t1, after_t4, after_patience
    cdef readonly Matching servers
    cdef readonly Matching clients
    cdef public list outbox
    cdef unsigned long long tally[13]  # one for each Tally and the digits between
    @cython.locals(column=int)
    cpdef list tallies(self)
    cpdef bint full(self) except *
    cpdef bint crowded(self) except *
    @cython.locals(places=Py_ssize_t)
    cdef admit(self, Transaction transaction, Py_ssize_t size)
    cpdef expect(self, Message message)
    @cython.locals(method=str, server=Transaction)
    cpdef int receive(self, Message message, double now) except -1
    @cython.locals(server=Transaction)
    cpdef int receive_ack(self, Message ack, double now) except -1
    @cython.locals(client=Transaction, stimulus=int)
    cpdef int receive_response(self, Message response, double now) except -1
    cpdef Transaction invite_of(self, Message cancel)
    cdef Transaction server_of(self, Message request, str method)
    cpdef Transaction client_of(self, bytes branch, str method)
    @cython.locals(machine=int, method=str, server=Transaction, call="unsigned int")
    cpdef Transaction serve(self, Message request, Address address, int listener, TransactionUser user)
    @cython.locals(machine=int, client=Transaction, action=int)
    cpdef Transaction send_request(
        self, bytes branch, str method, bytes datagram, Address address, int listener,
        TransactionUser user, double now, unsigned int call=*)
    cpdef send(self, bytes datagram, Address address, int listener)
    @cython.locals(row=int, state=int, column=int)
    cpdef bint drive(self, Transaction transaction, int stimulus, Message message, double now) except *
    cpdef perform(self, Transaction transaction, int action, Message message, double now)
    cdef dispatch(self, Transaction transaction)
    @cython.locals(interval=double)
    cdef start_retransmit(self, Transaction transaction, double now)
    cdef int resent(self, double interval) except -1
    cdef acknowledge(self, Transaction client, Message response)
    @cython.locals(user=TransactionUser)
    cdef lag(self, Transaction client, double now)
    cdef hand_up(self, Transaction transaction, Message message, double now)
    @cython.locals(user=TransactionUser)
    cdef report(self, Transaction transaction, int action, double now)
    cpdef abandon(self, Transaction transaction)
    @cython.locals(machine=int, matching=Matching)
    cdef settle(self, Transaction transaction)
    @cython.locals(user=TransactionUser)
    cdef release(self, Transaction transaction)
