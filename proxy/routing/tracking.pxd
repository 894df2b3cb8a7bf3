cimport cython

from proxy.dialog.dialog cimport Dialog
from proxy.dialog.record cimport leg_string, string
from proxy.dialog.route_set cimport names_host, target_of
from proxy.dialog.rules cimport DialogRules
from proxy.dialog.tracker cimport Tracker
from proxy.registrar.lookup cimport Target, target_for
from proxy.routing.exchange cimport Exchange
from proxy.routing.header_changes cimport HeaderChanges, contact_given
from proxy.routing.node cimport Node
from proxy.routing.relay cimport Relay
from proxy.routing.renumbering cimport renumber
from proxy.sip.address cimport Address
from proxy.sip.headers cimport contact_uri
from proxy.sip.message cimport Message

cdef int GONE, FAILED
cdef int CONTACT, FROM, RECORD_ROUTE, TO, SIP_PORT, LEG_REACHED, REACHED
@cython.locals(value=bytes, port=int)
cdef bytes caller_reached_at(Message invite, Address source)
@cython.locals(relay=Relay, dialog=Dialog, contact=bytes, uris=list)
cdef tell_changes(Exchange exchange, HeaderChanges changes)
@cython.locals(relay=Relay, target=Target, dialog=Dialog, reached=bytes)
cpdef Target target_within(Exchange exchange)
@cython.locals(hidden=bytes)
cdef bytes told_before(Dialog dialog)
cdef bytes NOTHING
cdef Dialog set_up_by(Tracker tracker, Message response)

cpdef Tracker tracker_of(Exchange exchange)
@cython.locals(rules=DialogRules)
cpdef bint may_be_tracked(Exchange exchange) except *

@cython.locals(tracker=Tracker, message=Message, relay=Relay, socket=bytes, outer=Dialog,
               dialog=Dialog, source=Address, came_with=bytes, reached=bytes, listener=Address)
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
@cython.locals(tracker=Tracker, status=int, dialog=Dialog, within=Dialog, method=str,
               contact=bytes, before=bytes, hostport=bytes, reached=bytes)
cpdef pass_by(Node node, Message response, Address source, int listener)
@cython.locals(dialog=Dialog)
cpdef leave_off(Exchange exchange, int status)
