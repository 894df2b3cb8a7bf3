from proxy.sip.address cimport Address
from proxy.sip.uri cimport Uri

cdef int SIP_PORT

cpdef object next_hop(Uri uri)
cpdef Address literal(bytes host, int port)
