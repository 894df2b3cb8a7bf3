cimport cython

from proxy.dialog.record cimport is_sound
from proxy.shm.packed cimport get_u16, get_u32, get_u64

cdef int AT_CREATED, AT_END_REASON, AT_INVITE_CSEQ, AT_LEGS, AT_LENGTHS
cdef int AT_PROFILES, HEAD, LEG, LEG_ANSWERED, LEG_AT_STRINGS, LEG_END_REASON
cdef int LEG_LENGTHS, LEG_SDP, LEG_STRINGS, PROFILES, SDP, STRINGS, VARIABLES
cdef int DIALOG_LEGS, DIALOG_PROFILES, PROFILE_NAME_BYTES, PROFILE_VALUE_BYTES
cdef unsigned int LAST_REASON
cdef int LONGEST_NAME, ALL_VARIABLES, TAB, SPACE, DELETE
cdef unsigned long long LAST_MOMENT
cdef unsigned int HIGHEST_CSEQ
cdef tuple MOST, MOST_OF_LEG, NUMBERS

cpdef bint is_plausible(bytes key, bytes payload) except -1
@cython.locals(parts=list, part=bytes)
cpdef bint is_plausible_key(bytes key) except -1
@cython.locals(p="const unsigned char *", legs=int, start=Py_ssize_t, end=Py_ssize_t, field=int,
               leg=Py_ssize_t)
cpdef bint is_plausible_record(bytes payload) except -1
@cython.locals(p="const unsigned char *", start=Py_ssize_t, end=Py_ssize_t, field=int, at=int)
cdef bint _is_plausible_leg(bytes payload, Py_ssize_t leg) except -1
cdef bint _are_moments(bytes payload, Py_ssize_t at, int count) except -1
@cython.locals(p="const unsigned char *", index=Py_ssize_t)
cpdef bint is_text(bytes payload, Py_ssize_t start, Py_ssize_t end) except -1
@cython.locals(p="const unsigned char *", name_end=Py_ssize_t, size=Py_ssize_t, count=int)
cdef int _pairs(bytes payload, Py_ssize_t at, Py_ssize_t end, int name_bytes,
                int value_bytes) except -2
