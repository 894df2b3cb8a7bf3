"""Types of SipHash."""

cimport cython
from libc.string cimport memcpy
from proxy.sip.grammar cimport word_at

cdef unsigned long long SIP0, SIP1, SIP2, SIP3

cdef inline unsigned long long last_word(
    const unsigned char *p, Py_ssize_t start, Py_ssize_t size
) noexcept:
    """What is left of p from `start` on, and in the highest byte how much was hashed."""
    cdef unsigned long long word = 0
    if size >= 8:  # from the eight last bytes; in two steps, for 64 at once would be undefined
        word = word_at(p, size - 8) >> 1 >> (63 - 8 * (size - start))
    else:
        memcpy(&word, p, size)  # little-endian, as all of this is
    return word | <unsigned long long>((size + 8) & 0xFF) << 56

cdef inline unsigned long long rotated(unsigned long long number, int bits) noexcept:
    """A 64-bit number rotated to the left."""
    return number << bits | number >> (64 - bits)

cdef inline void mix(unsigned long long *v) noexcept:
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

cdef inline void take_in(unsigned long long *v, unsigned long long word, bint lean) noexcept:
    """Eight more bytes."""
    v[3] ^= word
    mix(v)
    if not lean:
        mix(v)
    v[0] ^= word

@cython.final
cdef class SipHash:
    cdef unsigned long long state[4]
    cdef bint lean
    @cython.locals(v="unsigned long long *")
    cdef int begin(self, unsigned long long key0, unsigned long long key1, bint lean) noexcept
    cdef int add_number(self, unsigned long long number) noexcept
    @cython.locals(v="unsigned long long[4]", state="unsigned long long *",
                   p="const unsigned char *", size=Py_ssize_t, whole=Py_ssize_t,
                   at=Py_ssize_t, lean=bint)
    cdef int add(self, bytes text) noexcept
    @cython.locals(v="unsigned long long *")
    cdef unsigned long long end(self) noexcept

cdef SipHash _hash

cpdef unsigned long long siphash(
    unsigned long long key0, unsigned long long key1, unsigned long long number, bytes data
) except? 0
