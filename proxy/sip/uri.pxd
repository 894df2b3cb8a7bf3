"""Types of URIs."""

cimport cython

from proxy.sip.draft cimport Draft
from proxy.sip.grammar cimport (
    cut,
    find_byte,
    holds,
    HEX,
    LOWER,
    URI,
    Bytes,
    check_scheme,
    port_number,
    same_name,
    same_text,
    scan_host,
    skip_digits,
    span_uri,
)

cdef int _URI_BYTES
cdef int _PARAMS
cdef int _AOR_BYTES
cdef dict _DEFAULT_PORTS
cdef Draft _draft


@cython.final
cdef class Uri:
    cdef readonly bytes raw
    cdef readonly bytes scheme
    cdef readonly bint is_sip
    cdef readonly bytes user
    cdef readonly bytes password
    cdef readonly bytes host
    cdef readonly bint host_is_v6
    cdef readonly int port
    cdef readonly bytes params
    cdef readonly bytes headers
    cdef readonly bytes transport
    cdef readonly bytes maddr
    cdef readonly bint lr

    @cython.locals(wanted=bytes, part=bytes, found=bytes, value=bytes)
    cpdef param(self, bytes name)


@cython.locals(p=Bytes, end=int, at=int, start=int, made=Uri)
cpdef Uri parse_uri(bytes raw)
@cython.locals(at=int, i=int)
cdef int _check_characters(Bytes p, int end) except -2
@cython.locals(i=int)
cdef int _read_userinfo(Uri made, Bytes p, int start, int at) except -1
@cython.locals(i=int, first=int)
cdef int _read_after_user(Uri made, Bytes p, int start, int end) except -1
@cython.locals(i=int)
cdef bytes _lower(bytes raw, Bytes p, int start, int end)
@cython.locals(count=int, at=int, name_end=int, value=int)
cdef int _read_params(Uri made, Bytes p, int i, int end) except -1
cpdef bytes unescape_user(bytes user)
cpdef bytes uri_with(Uri uri, bytes user, bytes host, object port)
cdef bytes _canonical_host(Uri uri)
@cython.locals(size=Py_ssize_t, at=Py_ssize_t)
cdef bint is_plain(Uri uri) noexcept
@cython.locals(key=bytes, draft=Draft)
cpdef bytes aor_key(Uri uri)
cdef dict _param_map(bytes text, bytes separator)
@cython.locals(ours=dict, theirs=dict)
cpdef bint uri_equal(Uri a, Uri b)
