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
cdef bytes HEX

cdef inline unsigned long long last_word(
    const unsigned char *p, Py_ssize_t start, Py_ssize_t size
) noexcept:
    """What is left of p from `start` on, and in the highest byte how much was hashed."""
    cdef unsigned long long word = 0
    memcpy(&word, p + start, size - start)  # little-endian, as all of this is
    return word | <unsigned long long>((size + 8) & 0xFF) << 56

cdef inline unsigned long long wrapped(unsigned long long number) noexcept:
    """The lowest 64 bits: all that a C number has."""
    return number

cdef inline unsigned long long rotated(unsigned long long number, int bits) noexcept:
    """A 64-bit number rotated to the left."""
    return number << bits | number >> (64 - bits)

@cython.locals(v0="unsigned long long", v1="unsigned long long", v2="unsigned long long",
               v3="unsigned long long", word="unsigned long long", p="const unsigned char *",
               size=Py_ssize_t, whole=Py_ssize_t, at=Py_ssize_t, rounds=int, _=int)
cpdef unsigned long long siphash(
    unsigned long long key0, unsigned long long key1, unsigned long long number, bytes data
) except? 0
@cython.locals(out="unsigned char[16]", digits="const unsigned char *", i=int, text=bytes)
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
