cimport cython
from proxy.limits.overload cimport Shedder, draw
from proxy.routing.node cimport Node
from proxy.routing.nonce cimport Nonces
from proxy.routing.request cimport Request, request_from
from proxy.shm.location_table cimport LocationTable
from proxy.sip.address cimport Address
from proxy.sip.credentials cimport Credentials, parse_credentials
from proxy.sip.message cimport Message
from proxy.sip.uri cimport aor_key, parse_uri

cdef int ADMIT, REFUSE, ESTABLISHED, REGISTER, REFRESH, OTHER, LOWER
cdef int SHED_ANSWERED, SHED_LATE
cdef dict KINDS, COUNTED

@cython.locals(shedder=Shedder, kind=int, drawn="unsigned int", verdict=int)
cpdef bint turns_away(Node node, Message message, Address source, int listener) except -1
@cython.locals(earliest="unsigned int")
cpdef bytes come_back(Shedder shedder, unsigned int drawn)
@cython.locals(kind=int)
cpdef int kind_of(Node node, Message message, Address source) except -1
cpdef bint is_known(Node node, Message message, Address source) except -1
@cython.locals(index=int, given=Credentials, nonces=Nonces, made_ms="long long")
cpdef bint was_challenged(Node node, Message message, Address source) except -1
