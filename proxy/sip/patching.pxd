"""Types of the message builders."""

cimport cython

from proxy.sip.address cimport Address, address_of
from proxy.sip.draft cimport Draft
from proxy.sip.grammar cimport Bytes, cut, same_name, same_text, scan_param, skip_lws
from proxy.sip.headers cimport Via
from proxy.sip.message cimport Message
from proxy.sip.values cimport scan_name_addr

cdef int FROM
cdef int TO
cdef int VIA
cdef int CALL_ID
cdef int ROUTE
cdef int MAX_FORWARDS
cdef list _NUMBERS
cdef bytes _NO_BODY
cdef Draft _draft
cdef Cuts _cuts
cdef int _CUTS
cdef unsigned long long _ECHOED
cdef unsigned long long _RECORD_ROUTE_BIT
cdef unsigned long long _TIMESTAMP_BIT

@cython.locals(
    data=bytes, draft=Draft, wanted="unsigned long long", start=int, index=int, number=int,
    first_via=bint,
)
cpdef bytes response(
    Message request, int status, bytes reason, bytes to_tag=*, bytes headers=*, bytes body=*,
    bytes via_params=*, bint record_route=*,
)
@cython.locals(data=bytes, at="int *", value=bytes, draft=Draft)
cpdef bytes top_via_fixed(Message request, Address source, bint force_rport=*)
cpdef bint is_sent_by(Message request, Address source) except *
cdef bint _is_sent_by(bytes data, int *at, Address source) except -1
@cython.locals(p=Bytes, out="int[24]", pieces=list, i=int, end=int)
cdef bytes _via_rewritten(bytes data, int *at, Address source, bint force_rport)
@cython.locals(port=int, found=Address)
cpdef Address response_address(Via via)

@cython.final
cdef class Cuts:
    cdef int starts[160]
    cdef int ends[160]
    cdef list texts
    cdef int count
    cdef int clear(self) except -1
    @cython.locals(at=int)
    cdef int add(self, int start, int end, bytes text) except -1
    @cython.locals(p=Bytes, out="int[24]", index=int, end=int, i=int)
    cdef int add_routes(self, Message request, int count) except -1
    @cython.locals(index=int, value=bytes)
    cdef int add_edits(self, Message message, tuple edits) except -1
    @cython.locals(data=bytes, at=int, index=int, text=bytes)
    cdef bytes write(self, Draft draft, Message message)

@cython.locals(index=int, number=bytes, draft=Draft, cuts=Cuts)
cpdef bytes forwarded_request(
    Message request, bytes request_uri, bytes via, bytes top_via, int max_forwards,
    int drop_routes=*, bytes insert=*, tuple edits=*, bytes branch=*,
)
@cython.locals(data=bytes, p=Bytes, index=int, end=int, after=int, cuts=Cuts, draft=Draft)
cpdef bytes forwarded_response(Message response, tuple edits=*, bytes insert=*)
@cython.locals(index=int, pieces=list)
cdef bytes _lines(Message message, int number)
cdef bytes _same_hop(Message sent, bytes method, bytes to_line, int max_forwards)
cpdef bytes ack_for(Message request_sent, Message response, int max_forwards=*)
cpdef bytes cancel_for(Message request_sent, int max_forwards=*)
