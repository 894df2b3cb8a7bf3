cimport cython

from proxy.dialog.dialog cimport Dialog
from proxy.dialog.numbering cimport came_as, sent_as
from proxy.dialog.tracker cimport Tracker
from proxy.routing.header_changes cimport HeaderChanges
from proxy.routing.relay cimport Relay
from proxy.sip.message cimport Message, parse

cdef int CSEQ

@cython.locals(message=Message, number="unsigned int", changes=HeaderChanges)
cpdef renumber(Relay relay, Dialog dialog)
cpdef Message answered_as(Message message, unsigned int number)
@cython.locals(dialog=Dialog, number="unsigned int")
cpdef Message unshifted(Tracker tracker, Message response)
