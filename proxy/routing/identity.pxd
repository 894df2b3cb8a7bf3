cimport cython
from proxy.registrar.domains cimport Domains
from proxy.sip.address cimport Address
from proxy.sip.uri cimport Uri

cdef int SIP_PORT

@cython.final
cdef class Identity:
    cdef readonly tuple listeners
    cdef readonly Domains domains
    cdef readonly dict hosts
    cdef readonly set ports
    cdef readonly dict hostports
    cdef readonly tuple vias
    cdef readonly tuple routes
    cdef readonly int v4
    cdef readonly int v6
    cpdef bint is_listener(self, bytes host, int port) except *
    cpdef bint serves(self, bytes host) except *
    cpdef bint is_ours(self, Uri uri) except *
    cpdef bint names_us(self, Uri uri) except *
    @cython.locals(listener=Address)
    cpdef int listener_towards(self, Address address, int preferred) except -2
