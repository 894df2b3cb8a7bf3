"""Types of the scanners for Via and name-addr."""

cimport cython

from proxy.sip.grammar cimport (
    DISPLAY,
    LWS,
    TOKEN,
    URI,
    Bytes,
    check_scheme,
    name_at,
    same_name,
    scan_host,
    scan_number,
    scan_param,
    skip_digits,
    skip_lws,
    skip_quoted,
    span_uri,
    word_at,
)

cdef long long _CSEQ
cdef int _TAG_BYTES
cdef unsigned long long _PROTOCOL
cdef unsigned long long _BRANCH, _RPORT, _RECEIVED, _MADDR, _TTL, _TAG, _Q, _EXPIRES, _REG_ID

cdef int _scan_protocol(Bytes p, int i, int end) except -1
@cython.locals(i=int, at=int, last=int, port="long long")
cdef int scan_via(Bytes p, int start, int end, int *out) except -1
@cython.locals(name="unsigned long long", slot=int)
cdef int _scan_via_params(Bytes p, int i, int end, int *out) except -1
@cython.locals(at=int)
cdef int _scan_display(Bytes p, int i, int end, int *out) except -1
@cython.locals(i=int)
cdef int scan_name_addr(Bytes p, int start, int end, int *out) except -1
@cython.locals(at=int, name="unsigned long long", slot=int)
cdef int _scan_address_params(Bytes p, int i, int end, int *out) except -1
@cython.locals(i=int, after=int, method=int)
cdef int scan_cseq(Bytes p, int start, int end, int *out) except -1
cdef int _scan_party(Bytes p, int start, int end, int *out) except -1
cdef int scan_parties(
    Bytes p, int from_start, int from_end, int *from_at, int to_start, int to_end, int *to_at
) except -1
