cimport cython

from proxy.shm.packed cimport (
    blank, fixed, get_u16, get_u32, get_u64, put_u16, put_u32, put_u64,
)
from proxy.sip.draft cimport put_bytes

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.string cimport memcpy

cdef inline bytes joined(bytes one, bytes other):
    """Two texts with a NUL between them."""
    cdef Py_ssize_t size = len(one)
    cdef bytes made = PyBytes_FromStringAndSize(NULL, size + 1 + len(other))
    cdef char *p = PyBytes_AS_STRING(made)
    memcpy(p, PyBytes_AS_STRING(one), size)
    p[size] = 0
    memcpy(p + size + 1, PyBytes_AS_STRING(other), len(other))
    return made

cdef int AT_BRANCH
cdef int AT_CREATED, AT_DID, AT_DUE, AT_EPOCH, AT_FLAGS, AT_INVITE_CSEQ, AT_LEGS, AT_LENGTH
cdef int AT_LENGTHS, AT_LIFETIME, AT_NODE, AT_OWNER, AT_STATE, AT_VERSION, DID_END, FORMAT
cdef int HEAD, LEG, LEG_ANSWERED, LEG_AT_STRINGS, LEG_CALLER_CSEQ, LEG_LENGTHS
cdef int LEG_STATE, LEG_STRINGS, LEG_TAG, STRINGS
cdef int UNITS_ACTIVE, UNITS_EARLY
cdef int EARLY, CONFIRMED_NA, CONFIRMED, LAST_STATE
cdef Py_ssize_t LONGEST_STRING
cdef bytes HEX, NO_SDP
cdef Py_ssize_t DID_TEXT

cpdef bytes key_of(bytes call_id, bytes caller_tag)
cpdef unsigned int units_of(int state) noexcept
@cython.locals(p="const unsigned char *", size=Py_ssize_t, strings=Py_ssize_t, end=Py_ssize_t,
               at=Py_ssize_t, field=int)
cpdef bint is_sound(bytes payload) except -1
@cython.locals(p="const unsigned char *")
cpdef bytes did_of(bytes payload)
@cython.locals(p="const unsigned char *", out="unsigned char[32]", at=Py_ssize_t, text=bytes)
cpdef bytes did_text(bytes payload)
@cython.locals(digits="const unsigned char *")
cdef Py_ssize_t put_hex(unsigned char *p, Py_ssize_t end, unsigned long long value) noexcept
@cython.locals(p="const unsigned char *", start=Py_ssize_t, before=int)
cpdef bytes string(bytes payload, int field)
@cython.locals(p="const unsigned char *", start=Py_ssize_t, before=int)
cpdef bytes leg_string(bytes payload, Py_ssize_t leg, int field)
@cython.locals(p="const unsigned char *", t="const unsigned char *", length=Py_ssize_t,
               strings=Py_ssize_t, at=Py_ssize_t, start=Py_ssize_t, index=Py_ssize_t)
cpdef Py_ssize_t find_leg(bytes payload, bytes tag) except -2
@cython.locals(record=bytearray, p="unsigned char *", size=Py_ssize_t, at=Py_ssize_t, text=bytes,
               end=Py_ssize_t, length=Py_ssize_t)
cpdef bytes begin(bytes did, unsigned long long version, unsigned int owner,
                  unsigned long long now_ms, unsigned int due, unsigned int lifetime,
                  unsigned int flags, unsigned int cseq, unsigned int branch, tuple strings)
@cython.locals(p="const unsigned char *", q="unsigned char *", grown=bytearray, legs=int,
               leg=Py_ssize_t, size=Py_ssize_t, end=Py_ssize_t, at=Py_ssize_t, length=Py_ssize_t,
               strings=tuple, text=bytes)
cpdef bytearray grown_by_leg(bytes payload, int state, unsigned int cseq,
                             unsigned long long answered_ms, bytes tag, bytes contact,
                             bytes routes, bytes socket, bytes destination,
                             bytes reached)
cpdef bytes with_leg(bytes payload, int state, unsigned int cseq, unsigned long long answered_ms,
                     bytes tag, bytes contact, bytes routes, bytes socket,
                     bytes destination, bytes reached)
@cython.locals(p="const unsigned char *", start=Py_ssize_t, before=int)
cpdef bytes with_string(bytes payload, int field, bytes value)
@cython.locals(p="const unsigned char *", start=Py_ssize_t, before=int)
cpdef bytes with_leg_string(bytes payload, Py_ssize_t leg, int field, bytes value)
@cython.locals(p="const unsigned char *", q="unsigned char *", grown=bytearray, old=Py_ssize_t,
               strings=Py_ssize_t, at=Py_ssize_t, offset="unsigned int", size=Py_ssize_t,
               length=Py_ssize_t)
cdef bytes _replaced(bytes payload, Py_ssize_t length_at, Py_ssize_t start, bytes value)
@cython.locals(size=Py_ssize_t, text=bytes)
cdef Py_ssize_t checked_lengths(tuple strings) except -1
cdef Py_ssize_t checked_length(bytes text) except -1
