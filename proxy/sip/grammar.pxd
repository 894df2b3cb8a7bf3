"""Types of the grammar's scanners."""

cimport cython
from libc.string cimport memchr, memcmp, memcpy

ctypedef const unsigned char *Bytes

cdef bytes _TOKEN_TABLE
cdef bytes _LWS_TABLE
cdef bytes _DIGIT_TABLE
cdef bytes _HEX_TABLE
cdef bytes _HOST_TABLE
cdef bytes _PARAM_TABLE
cdef bytes _CALL_ID_TABLE
cdef bytes _URI_TABLE
cdef bytes _DISPLAY_TABLE
cdef bytes _PRINTABLE_TABLE
cdef bytes _LOWER_TABLE
cdef bytes _SLOT_TABLE
cdef bytes _LENGTH_TABLE
cdef bytes _TEXT_TABLE
cdef bytes _CASE_TABLE
cdef bytes _COMPACT_TABLE
cdef Bytes TOKEN
cdef Bytes LWS
cdef Bytes DIGIT
cdef Bytes HEX
cdef Bytes HOST
cdef Bytes PARAM
cdef Bytes CALL_ID_CHARS
cdef Bytes URI
cdef Bytes DISPLAY
cdef Bytes PRINTABLE
cdef Bytes LOWER
cdef Bytes NAME_SLOT
cdef Bytes NAME_LENGTH
cdef Bytes NAME_TEXT
cdef Bytes NAME_CASE
cdef Bytes NAME_COMPACT
cdef unsigned long long _BLANKS, _SIP, _SIP_CASES, _SIP_BYTES

cdef extern from "proxy/sip/spans.h":
    int span_printable(Bytes p, int i, int end, Bytes members) noexcept
    int span_uri(Bytes p, int i, int end, Bytes members) noexcept
    int span_call_id(Bytes p, int i, int end, Bytes members) noexcept
    int span_param(Bytes p, int i, int end, Bytes members) noexcept
    int span_host(Bytes p, int i, int end, Bytes members) noexcept
    int name_length(Bytes p, int i, int end) noexcept
    bint same_letters(
        Bytes p, int i, int length, int end, Bytes text, Bytes cases, int at
    ) noexcept

cdef inline int find_byte(Bytes p, int start, int end, int byte) noexcept:
    """The index of a byte in p[start:end], or -1."""
    cdef Bytes found = <Bytes>memchr(p + start, byte, end - start)
    return -1 if found == NULL else <int>(found - p)

cdef inline bint same_text(Bytes p, Py_ssize_t start, Py_ssize_t end, bytes text) noexcept:
    """Whether p[start:end] is `text`."""
    return end - start == len(text) and memcmp(p + start, <Bytes>text, end - start) == 0

cdef inline bint same_bytes(Bytes p, int i, Bytes other, int at, int length) noexcept:
    """Whether p[i:i + length] is other[at:at + length]."""
    return memcmp(p + i, other + at, length) == 0

cdef inline int find_text(bytes text, bytes part) noexcept:
    """Where `part`, which is not empty, occurs first in `text`, or -1."""
    cdef Bytes p = text
    cdef Bytes q = part
    cdef int size = <int>len(part)
    cdef int at = 0
    cdef int last = <int>len(text) - size
    while at <= last:
        at = find_byte(p, at, last + 1, q[0])
        if at < 0 or memcmp(p + at, q, size) == 0:
            return at
        at += 1
    return -1

cdef inline bint holds(bytes text, bytes part) noexcept:
    """Whether `part`, which is not empty, occurs in `text`."""
    return find_text(text, part) >= 0

cdef inline unsigned long long word_at(const unsigned char *p, Py_ssize_t i) noexcept:
    """The eight bytes from i on as a number, the lowest first."""
    cdef unsigned long long word
    memcpy(&word, p + i, sizeof(word))
    return word

cdef inline unsigned long long name_at(Bytes p, int start, int end, int limit) noexcept:
    """A name of at most eight token characters as a number, in lower case; 0 for a longer one."""
    cdef unsigned long long name = 0
    cdef int at = end
    cdef int other = 64 - 8 * (end - start)
    if not 0 <= other < 64:
        return 0
    if start + 8 <= limit:
        return (word_at(p, start) | _BLANKS) << other >> other
    while at > start:
        at -= 1
        name = name << 8 | p[at] | 32
    return name

cdef inline int header_id_at(Bytes p, int start, int end, int limit) noexcept:
    """The number of the header name p[start:end], or 0; `limit` is where the message ends."""
    cdef int length = end - start
    cdef int number
    if length == 1:
        return NAME_COMPACT[p[start]]
    number = NAME_SLOT[(length * 2 + (p[start] | 32) * 43 + (p[end - 1] | 32) * 62) & 255]
    if number == 0 or NAME_LENGTH[number] != length:
        return 0
    if same_letters(p, start, length, limit, NAME_TEXT, NAME_CASE, number * 32):
        return number
    return 0

cdef inline int skip_lws(Bytes p, int i, int end) noexcept:
    """The first index from i that is not linear white space."""
    while i < end and p[i] <= 32 and LWS[p[i]]:
        i += 1
    return i

@cython.locals(p="const unsigned char *")
cdef bytes cut(bytes data, Py_ssize_t start, Py_ssize_t end)
cdef int skip_digits(Bytes p, int i, int end) noexcept
@cython.locals(i=int, digit=int, value="long long")
cdef long long scan_number(Bytes p, int start, int end, long long limit) noexcept
cdef int skip_quoted(Bytes p, int i, int end) except -1
@cython.locals(start=int, quoted=bint)
cdef int scan_param(Bytes p, int i, int end, int *out) except -1
@cython.locals(index=int, other=Bytes)
cdef bint same_name(Bytes p, int start, int end, bytes name) noexcept
@cython.locals(i=int, octet=int, first=int, value=int)
cdef bint valid_ipv4(Bytes p, int start, int end) noexcept
@cython.locals(i=int, groups=int, first=int, compressed=bint)
cdef bint valid_ipv6(Bytes p, int start, int end) noexcept
@cython.locals(first=int)
cdef int scan_host(Bytes p, int i, int end) except -1
cdef int port_number(Bytes p, int start, int end) except -1
@cython.locals(i=int)
cdef int check_scheme(Bytes p, int start, int end) except -1
