cimport cython
from proxy.routing.siphash cimport SipHash, siphash
from proxy.sip.message cimport Message
from libc.string cimport memcmp, memcpy

cdef inline unsigned long long eight_digits(unsigned long long n) noexcept:
    """The eight hex digits of a 32-bit number as they lie in memory, the highest first."""
    n = n >> 16 | (n & 0xFFFF) << 32
    n = (n >> 8 & 0x000000FF000000FFULL) | (n & 0x000000FF000000FFULL) << 16
    n = (n >> 4 & 0x000F000F000F000FULL) | (n & 0x000F000F000F000FULL) << 8
    # ten and more, plus six, reach the bit of 16: "a" is 39 further than "0" + 10
    return n + 0x3030303030303030ULL + (
        (n + 0x0606060606060606ULL) >> 4 & 0x0101010101010101ULL
    ) * 39

cdef inline void put_digits(unsigned char *room, unsigned long long number) noexcept:
    """Sixteen hex digits."""
    cdef unsigned long long high = eight_digits(number >> 32)
    cdef unsigned long long low = eight_digits(number & 0xFFFFFFFFULL)
    memcpy(room, &high, 8)
    memcpy(room + 8, &low, 8)

cdef inline bytes digits_of(unsigned long long number):
    """The sixteen hex digits of a number."""
    cdef unsigned char digits[16]
    put_digits(digits, number)
    return digits[:16]

cdef inline bint has_digits(
    const unsigned char *p, Py_ssize_t at, unsigned long long number
) noexcept:
    """Whether a text has those from `at` on."""
    cdef unsigned char digits[16]
    put_digits(digits, number)
    return memcmp(p + at, digits, 16) == 0

cdef unsigned long long LOW, ROUTE_COOKIE, OWN_TAG, OWN_BRANCH
cdef Py_ssize_t BRANCH_BYTES
cdef bytes COOKIE
cdef SipHash _hash

cdef inline bytes branch_text(unsigned long long mac, unsigned long long suffix):
    """A branch of ours."""
    cdef unsigned char text[39]
    memcpy(text, b"z9hG4bK", 7)
    put_digits(text + 7, mac)
    put_digits(text + 23, suffix)
    return text[:39]

cpdef bytes hex_digits(unsigned long long value, int width)

@cython.final
cdef class Signer:
    cdef readonly unsigned long long key0, key1, lean0, lean1
    @cython.locals(made=SipHash)
    cpdef unsigned long long loop_hash(
        self, Message request, bytes request_uri, bytes routes
    ) except? 0
    @cython.locals(made=SipHash)
    cpdef unsigned long long aim_hash(
        self, bytes uri, bytes received, bytes path, unsigned int attempt
    ) except? 0
    @cython.locals(suffix="unsigned long long")
    cpdef bytes branch(
        self, Message request, bytes origin, unsigned long long loop, unsigned long long aim
    )
    @cython.locals(suffix="unsigned long long")
    cpdef bint is_ours(
        self, bytes branch, bytes next_branch, bytes origin, Message response
    ) except *
    @cython.locals(made=SipHash)
    cdef unsigned long long _mac(
        self, bytes branch, bytes origin, Message message, unsigned long long suffix
    ) except? 0
    cpdef bytes route_cookie(self, bytes call_id, bytes caller_tag, bytes did=*)
    cpdef bint is_cookie(
        self, bytes data, Py_ssize_t at, bytes call_id, bytes caller_tag, bytes did
    ) except -1
    @cython.locals(made=SipHash)
    cdef unsigned long long _cookie(self, bytes call_id, bytes caller_tag, bytes did) except? 0
    @cython.locals(made=SipHash)
    cpdef bytes own_tag(self, Message request)
    cpdef bytes own_branch(self, bytes request)
