cimport cython
from libc.string cimport memcpy
from proxy.sip.draft cimport Draft
from proxy.sip.grammar cimport word_at
from proxy.sip.message cimport Message

cdef unsigned long long LOW, SIP0, SIP1, SIP2, SIP3, ROUTE_COOKIE, OWN_TAG
cdef unsigned long long OWN_BRANCH
cdef Py_ssize_t BRANCH_BYTES
cdef bytes COOKIE
cdef Draft _draft
cdef bytes HEX_PAIRS

cdef inline unsigned long long last_word(
    const unsigned char *p, Py_ssize_t start, Py_ssize_t size
) noexcept:
    """What is left of p from `start` on, and in the highest byte how much was hashed."""
    cdef unsigned long long word = 0
    memcpy(&word, p + start, size - start)  # little-endian, as all of this is
    return word | <unsigned long long>((size + 8) & 0xFF) << 56

cdef inline unsigned long long rotated(unsigned long long number, int bits) noexcept:
    """A 64-bit number rotated to the left."""
    return number << bits | number >> (64 - bits)

cdef inline void one_round(unsigned long long *v) noexcept:
    """SipRound."""
    v[0] += v[1]
    v[1] = rotated(v[1], 13) ^ v[0]
    v[0] = rotated(v[0], 32)
    v[2] += v[3]
    v[3] = rotated(v[3], 16) ^ v[2]
    v[0] += v[3]
    v[3] = rotated(v[3], 21) ^ v[0]
    v[2] += v[1]
    v[1] = rotated(v[1], 17) ^ v[2]
    v[2] = rotated(v[2], 32)

cdef inline void two_rounds(unsigned long long *v) noexcept:
    """SipRound, twice."""
    one_round(v)
    one_round(v)

cdef inline void take_in(unsigned long long *v, unsigned long long word) noexcept:
    """Eight more bytes."""
    v[3] ^= word
    two_rounds(v)
    v[0] ^= word

@cython.locals(v="unsigned long long[4]", p="const unsigned char *", size=Py_ssize_t,
               whole=Py_ssize_t, at=Py_ssize_t)
cpdef unsigned long long siphash(
    unsigned long long key0, unsigned long long key1, unsigned long long number, bytes data
) except? 0
@cython.locals(out="unsigned char[16]", pairs="const unsigned char *", i=int, pair=int, text=bytes)
cpdef bytes hex_digits(unsigned long long value, int width)

@cython.final
cdef class Signer:
    cdef readonly unsigned long long key0
    cdef readonly unsigned long long key1
    @cython.locals(draft=Draft)
    cpdef unsigned long long loop_hash(
        self, Message request, bytes request_uri, bytes routes
    ) except? 0
    @cython.locals(suffix="unsigned long long", mac="unsigned long long", draft=Draft)
    cpdef bytes branch(self, Message request, bytes origin, unsigned long long loop, bytes target)
    @cython.locals(suffix="unsigned long long")
    cpdef bint is_ours(
        self, bytes branch, bytes next_branch, bytes origin, Message response
    ) except *
    @cython.locals(inner="unsigned long long", draft=Draft)
    cdef unsigned long long _mac(
        self, bytes branch, bytes origin, Message message, unsigned long long suffix
    ) except? 0
    @cython.locals(draft=Draft)
    cpdef bytes route_cookie(self, bytes call_id, bytes caller_tag, bytes did=*)
    @cython.locals(draft=Draft)
    cpdef bytes own_tag(self, Message request)
    cpdef bytes own_branch(self, bytes request)
