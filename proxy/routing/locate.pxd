cimport cython

from proxy.sip.address cimport Address, address_of
from proxy.sip.uri cimport Uri

cdef int SIP_PORT


@cython.final
cdef class NextHop:
    cdef readonly bytes host, transport
    cdef readonly int port


@cython.locals(transport=bytes)
cpdef NextHop next_hop(Uri uri)
cpdef Address literal(bytes host, int port)
