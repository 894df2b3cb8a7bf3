cimport cython
from proxy.routing.branch cimport Signer
from proxy.routing.identity cimport Identity
from proxy.routing.relay cimport Relay
from proxy.sip.grammar cimport cut, holds, same_text
from proxy.sip.headers cimport NameAddr
from proxy.sip.message cimport Message
from proxy.sip.uri cimport Uri

cdef int COOKIE_BYTES, ROUTE, SIP_PORT

@cython.locals(routes=list, identity=Identity, request_uri=Uri, uri=Uri, route=NameAddr,
               cookie_seen=bint)
cpdef bint prepare_routes(Relay relay) except *
@cython.locals(message=Message, index=int, data=bytes, route=bytes, start=Py_ssize_t,
               own_end=Py_ssize_t, end=Py_ssize_t, at=Py_ssize_t, did=bytes)
cdef bint took_our_own(Relay relay) except -1
cdef bint is_own_record_route(Identity identity, Uri uri) except *
@cython.locals(cookie=bytes, did=bytes)
cdef bint has_cookie(Relay relay, Uri uri) except *
@cython.locals(message=Message, signer=Signer, call_id=bytes)
cdef bint is_cookie(Relay relay, bytes data, Py_ssize_t at, bytes did) except -1
