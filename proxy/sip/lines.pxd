"""Types of the first line's and header lines' scanners."""

cimport cython

from proxy.sip.grammar cimport (
    CALL_ID_CHARS,
    DIGIT,
    TOKEN,
    URI,
    Bytes,
    check_scheme,
    find_byte,
    same_bytes,
    same_name,
    scan_number,
    span_call_id,
    span_uri,
    word_at,
)

cdef tuple _METHODS
cdef bytes _METHOD_SLOT_TABLE
cdef bytes _METHOD_TEXT_TABLE
cdef Bytes METHOD_SLOT
cdef Bytes METHOD_TEXT
cdef unsigned long long _VERSION, _VERSION_LAST
cdef int _CALL_ID_BYTES
cdef int _URI_BYTES
cdef int _HEADER_NAME_BYTES
cdef int _REQUEST_LINE_BYTES

cdef bytes without_name_space(bytes data, int start)
cdef int skip_version(Bytes p, int i, int end) except -1
@cython.locals(i=int)
cdef int skip_request_uri(Bytes p, int start, int end) except -1
@cython.locals(i=int, status=int)
cdef int skip_status_line(Bytes p, int start, int end) except -1
@cython.locals(i=int, at=int)
cdef int _check_request_uri(Bytes p, int start, int end) except -1
@cython.locals(length=int, number=int, at=int)
cdef str method_name(Bytes p, int start, int end, bytes data)
@cython.locals(i=int)
cdef int skip_name(Bytes p, int start, int end) except -2
@cython.locals(at=int)
cdef int _check_odd_name(Bytes p, int start, int i, int end) except -2
@cython.locals(byte="unsigned char", after="unsigned char")
cdef int skip_odd_byte(Bytes p, int start, int i, int end) except -1
@cython.locals(at=int)
cdef int _skip_fold(Bytes p, int i) except -1
@cython.locals(quoted=bint, at=int)
cdef bint _is_quoted_pair(Bytes p, int start, int i) noexcept
cdef int check_call_id(Bytes p, int start, int end) except -1
