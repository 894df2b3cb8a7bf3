cimport cython
from proxy.registrar.answers cimport Answer
from proxy.registrar.questions cimport AliasQuestion, SubscriberQuestion, UrisQuestion
from proxy.registrar.subscriber cimport ha1_in, has_ha1
from proxy.routing.exchange cimport Exchange
from proxy.routing.inquiries cimport Inquiries
from proxy.routing.node cimport Node
from proxy.routing.nonce cimport Nonces, serial_of
from proxy.shm.nonce_table cimport NonceTable
from proxy.sip.credentials cimport Credentials, parse_credentials
from proxy.sip.digest cimport Verifier, challenge
from proxy.sip.message cimport Message
from proxy.sip.uri cimport Uri, parse_uri, unescape_user, uri_equal

cdef int AUTH_ACCEPTED, AUTH_CHALLENGES, AUTH_NO_HASH, AUTH_NOT_OWNER, AUTH_REPLAYS, AUTH_STALE
cdef int AUTH_OTHER_URI
cdef int AUTH_UNAVAILABLE, AUTH_WRONG, LOCK_TIMEOUTS, NONCES_EVICTED
cdef int AUTHORIZATION, PROXY_AUTHORIZATION, ACCEPTED, EVICTING, FOUND, CREDENTIALS
cdef tuple HASH_OF


@cython.final
cdef class User:
    cdef readonly bytes name
    cdef readonly bytes realm


@cython.final
cdef class AuthenticationRules:
    cdef readonly tuple algorithms
    cdef readonly bytes realm, default_realm, qop
    cdef readonly frozenset qops
    cdef readonly bint use_domain, calculate_ha1, check_uri, allow_rfc2069


@cython.final
cdef class Authentication:
    cdef readonly AuthenticationRules rules
    cdef readonly Nonces nonces
    cdef readonly NonceTable used
    cdef readonly Inquiries inquiries
    cdef readonly Verifier verifier

    cpdef bytes realm_of(self, Exchange request, Uri uri)
    cpdef bytes realm_about(self, Exchange request, bint www)
    @cython.locals(message=Message, best=Credentials, given=Credentials, rank=Py_ssize_t,
                   place=Py_ssize_t, index=int, count=int, algorithms=tuple)
    cpdef Credentials credentials(self, Exchange request, int header, bytes realm)
    @cython.locals(lines=bytes, name=bytes, nonce=bytes, node=Node)
    cpdef challenge(self, Exchange request, bint www, bytes realm, bint stale)
    cpdef bint is_usable(self, Exchange request, Credentials given) except *
    @cython.locals(kind=int, record=bytes, method=bytes, body=bytes, right=bint)
    cpdef bint matches(self, Exchange request, Credentials given, Answer answer) except *
    @cython.locals(twin="unsigned long long", node=Node, verdict=int)
    cpdef int use_nonce(self, Exchange request, Credentials given, long long issued_ms) except -2
    cpdef SubscriberQuestion question(self, Credentials given)
    @cython.locals(message=Message, index=int, given=Credentials)
    cpdef consume(self, Exchange request, bytes realm)
    cpdef bint is_at_home(self, Exchange request, User user, Uri uri) except *
    cpdef bint is_own(self, Exchange request, User user, Uri uri) except *

@cython.locals(message=Message)
cpdef Uri address_asked(Exchange request, bint www)
cpdef unavailable(Exchange request)

@cython.locals(plain=bytes)
cpdef bint spells(bytes user, bytes name) except *
