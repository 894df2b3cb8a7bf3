cimport cython

from proxy.dialog.dialog cimport Dialog
from proxy.dialog.rules cimport DialogRules
from proxy.dialog.tracker cimport Tracker
from proxy.routing.exchange cimport Exchange
from proxy.routing.node cimport Node
from proxy.routing.relay cimport Relay
from proxy.routing.renumbering cimport renumber
from proxy.sip.address cimport Address
from proxy.sip.message cimport Message

cdef int GONE, FAILED
cdef unsigned int CALLER_BEHIND_NAT
@cython.locals(host=bytes, there=bytes)
cdef bint is_behind_nat(Message invite, Address source) except -1
cdef bytes NOTHING
cdef Dialog set_up_by(Tracker tracker, Message response)

cpdef Tracker tracker_of(Exchange exchange)
@cython.locals(rules=DialogRules)
cpdef bint may_be_tracked(Exchange exchange) except *

@cython.locals(tracker=Tracker, message=Message, relay=Relay, socket=bytes, outer=Dialog,
               dialog=Dialog, address=Address, came_with=bytes)
cpdef bint begin(Exchange exchange, unsigned int flags, unsigned int lifetime,
                 bytes tag=*) except *
@cython.locals(tracker=Tracker, found=Dialog, did=bytes)
cpdef Dialog dialog_of(Exchange exchange)
@cython.locals(dialog=Dialog)
cpdef follow(Exchange exchange)
@cython.locals(dialog=Dialog)
cpdef bint is_late(Exchange exchange) except *
@cython.locals(dialog=Dialog)
cpdef find_numbers(Exchange exchange)
@cython.locals(dialog=Dialog)
cpdef acknowledge(Exchange exchange)
@cython.locals(tracker=Tracker, status=int, dialog=Dialog, within=Dialog, method=str)
cpdef pass_by(Node node, Message response, Address source, int listener)
@cython.locals(dialog=Dialog)
cpdef leave_off(Exchange exchange, int status)
