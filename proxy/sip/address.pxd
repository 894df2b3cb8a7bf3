"""Types of Address."""

cimport cython


@cython.final
cdef class Address:
    cdef readonly bytes host
    cdef readonly int port
    cdef readonly bytes sockaddr
    cdef readonly bytes hostport
    cdef readonly bint is_v6
    cdef readonly bint is_unicast
    cdef readonly bytes rport_received


cdef dict _by_text
cdef dict _by_sockaddr
cdef list _recent

@cython.locals(found=Address, text=bytes, raw=bytes)
cpdef Address address_of(bytes host, int port)
@cython.locals(found=Address, slot="unsigned int", p="const unsigned char *", size=Py_ssize_t)
cpdef Address address_from(bytes raw)
cdef bytes _sockaddr(str text, int port)
@cython.locals(made=Address, family=int, bracketed=bytes)
cdef Address _build(bytes raw)
