cimport cython
from proxy.registrar.lookup cimport Target
from proxy.routing.branch cimport Signer, hex_digits
from proxy.routing.header_changes cimport HeaderChanges
from proxy.routing.identity cimport Identity
from proxy.routing.node cimport Node
from proxy.sip.address cimport Address
from proxy.sip.draft cimport Draft
from proxy.sip.headers cimport Via
from proxy.sip.message cimport Message
from proxy.sip.patching cimport forwarded_request, top_via_fixed
from proxy.sip.uri cimport Uri, parse_uri

cdef int DEFAULT_MAX_FORWARDS
cdef int DEFAULT_BREADTH, SPIRALS
cdef Py_ssize_t REMEMBERED_BYTES
cdef int LITERALS
cdef bytes FULL_BREADTH
cdef dict NO_ORIGINALS
cdef list NO_ROUTES
cdef Draft _draft
cdef int BRANCH_BYTES
cdef int MAX_BREADTH, ROUTE, VIA

@cython.final
cdef class Relay:
    cdef readonly Node node
    cdef readonly Message message
    cdef readonly int listener
    cdef readonly bint invite
    cdef public bytes request_uri
    cdef public bytes top_via
    cdef public bytes origin
    cdef readonly Address source
    cdef public int drop_routes
    cdef public bint drop_last
    cdef public bint record_route
    cdef readonly HeaderChanges changes
    cdef readonly dict originals
    cdef public int leave_by
    cdef public long long loop
    cdef public list left
    cdef public bytes did
    cdef public unsigned int number
    cpdef begin(self, Node node, Message message, int listener)
    cpdef bytes fix_via(self, Address source)
    cpdef HeaderChanges amended(self)
    cpdef rename(self, int header, bytes value)
    cpdef redirect(self, bytes uri)
    cdef take_whole_route(self, bytes did)
    @cython.locals(values=list)
    cpdef list routes(self)
    @cython.locals(routes=list, joined=bytes)
    cpdef long long sign(self) except *
    @cython.locals(message=Message, loop=bytes)
    cpdef bint has_looped(self) except *
    @cython.locals(count=int, via=Via)
    cpdef int visits(self) except -1
    @cython.locals(identity=Identity, values=list, via=Via, below=Via, origin=bytes,
                   index=Py_ssize_t)
    cpdef bytes branch_before(self)
    cpdef Address known_address(self, Target target)
    @cython.locals(text=bytes)
    cpdef remember(self, Target target, Address address)
    @cython.locals(routes=list)
    cpdef Uri next_hop(self, Target target)
    @cython.locals(identity=Identity, preferred=int, socket=bytes, listener=Address)
    cpdef int way_out(self, Target target, Address address) except -2
    @cython.locals(signer=Signer, aim="unsigned long long")
    cpdef bytes branch(self, Target target, int attempt)
    @cython.locals(identity=Identity, changes=HeaderChanges, insert=Draft, request_uri=bytes,
                   drop=int, edits=tuple, message=Message, hops=int, routes=list, strict=bint)
    cpdef bytes build(self, Target target, bytes branch, int listener, int breadth)
    @cython.locals(index=int)
    cdef tuple limit_breadth(self, tuple edits, Draft insert, int breadth)
    @cython.locals(value=bytes)
    cpdef int breadth(self) except -1
    @cython.locals(message=Message, cookie=bytes)
    cdef add_record_routes(self, Draft insert, int listener)
    cdef add_own_route(self, Draft insert, int listener, bytes double, bytes cookie)
