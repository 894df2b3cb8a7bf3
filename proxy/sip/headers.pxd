"""Types of header values."""

cimport cython

from proxy.sip.grammar cimport (
    cut,
    LWS,
    Bytes,
    same_name,
    scan_number,
    scan_param,
    skip_lws,
    skip_quoted,
)
from proxy.sip.values cimport scan_cseq, scan_name_addr, scan_via

cdef long long _MAX_EXPIRES
cdef int _MAX_CONTACTS
cdef int _MAX_ROUTES


@cython.final
cdef class Via:
    cdef readonly bytes raw
    cdef readonly bytes protocol
    cdef readonly bytes transport
    cdef readonly bytes host
    cdef readonly bint host_is_v6
    cdef readonly int port
    cdef readonly bytes branch
    cdef readonly bytes received
    cdef readonly int rport
    cdef readonly bytes maddr
    cdef readonly int ttl
    cdef readonly bytes params

    cpdef param(self, bytes name)


cdef class NameAddr:
    cdef readonly bytes uri
    cdef readonly bint bracketed
    cdef bytes _text
    cdef int _start, _end, _display_start, _display_end, _params_start, _tag_start, _tag_end

    cpdef param(self, bytes name)


@cython.final
cdef class ContactValue(NameAddr):
    cdef readonly bint star
    cdef readonly int q
    cdef readonly long long expires
    cdef readonly bytes instance
    cdef readonly int reg_id


@cython.locals(p=Bytes, out="int[24]", end=int, wanted=bytes, i=int)
cpdef find_param(bytes params, bytes name)
cpdef bytes unquote(bytes text)
cpdef bytes quoted(bytes text)
cpdef bytes renamed(NameAddr addr, bytes display, bytes uri)
@cython.locals(p=Bytes, out="int[24]")
cpdef Via parse_via(bytes value)
cpdef list parse_vias(list values)
@cython.locals(made=Via, transport=bytes, host=bytes)
cdef Via via_from(bytes data, int *out)
@cython.locals(p=Bytes, number="long long")
cdef int _number_in(bytes data, int start, int end, int limit, str complaint) except -2
cdef bytes _address_text(bytes text)
cdef int _fill(NameAddr made, bytes data, int *out) except -1
@cython.locals(p=Bytes, out="int[24]", made=NameAddr)
cpdef NameAddr parse_name_addr(bytes value)
@cython.locals(p=Bytes, out="int[24]", made=NameAddr, value=bytes, found=list, i=int, end=int)
cpdef list parse_routes(list values)
@cython.locals(p=Bytes, out="int[24]", value=bytes, found=list, star=bint, i=int, end=int)
cpdef list parse_contacts(list values)
@cython.locals(p=Bytes, out="int[24]")
cpdef bytes contact_uri(bytes value)
@cython.locals(made=ContactValue)
cdef ContactValue _star()
@cython.locals(made=ContactValue)
cdef ContactValue _contact_from(bytes data, Bytes p, int *out)
@cython.locals(length=int, q=int, weight=int, i=int)
cdef int _q_value(Bytes p, int start, int end) except -1
@cython.locals(p=Bytes, number="long long")
cpdef long long parse_expires(bytes value) except -1
@cython.locals(p=Bytes, out="int[24]")
cpdef tuple parse_cseq(bytes value)
@cython.locals(p=Bytes, end=int, start=int, i=int, in_brackets=bint, found=list)
cpdef list split_commas(bytes value)
