cimport cython

from proxy.shm.packed cimport get_u16, get_u32, get_u64, put_u16, put_u32, put_u64
from proxy.sip.draft cimport Draft
from proxy.sip.grammar cimport same_text

cdef int AT_CSEQ, AT_EXPIRES, AT_FLAGS, AT_LENGTHS, AT_METHODS, AT_MODIFIED, AT_ORIGIN, AT_Q, AT_REG_ID, AT_STRINGS, AT_VERSION, BINDING, CONTACT, FORMAT, HEAD, INSTANCE, STRINGS
cdef unsigned int NEVER, NO_Q, NOBODY, REMOVED, REMOVED_S
cdef unsigned long long LAST_VERSION
cdef Draft _draft

@cython.locals(p="const unsigned char *", size=Py_ssize_t, count=Py_ssize_t, strings=Py_ssize_t,
               at=Py_ssize_t, start=Py_ssize_t, end=Py_ssize_t, field=int)
cpdef Py_ssize_t binding_count(bytes payload) except -2
@cython.locals(start=Py_ssize_t, before=int)
cdef Py_ssize_t string_at(const unsigned char *p, Py_ssize_t at, int field) noexcept
@cython.locals(p="const unsigned char *", start=Py_ssize_t)
cdef int add_string(Draft draft, bytes payload, Py_ssize_t at, int field) except -1
@cython.locals(p="const unsigned char *", start=Py_ssize_t)
cpdef bytes string(bytes payload, Py_ssize_t at, int field)
@cython.locals(p="const unsigned char *", length=Py_ssize_t, start=Py_ssize_t)
cpdef bint same_string(bytes payload, Py_ssize_t at, int field, bytes value) except -1
@cython.locals(expires="unsigned int")
cpdef bint is_live(const unsigned char *payload, Py_ssize_t at, unsigned int now) noexcept
@cython.locals(at=Py_ssize_t, _=Py_ssize_t)
cpdef Py_ssize_t find_contact(bytes payload, Py_ssize_t count, bytes contact) except -2
@cython.locals(p="const unsigned char *", at=Py_ssize_t, earliest="unsigned int",
               expires="unsigned int", removed="unsigned long long", _=Py_ssize_t)
cpdef unsigned int due_at(bytes payload, Py_ssize_t count) except? 0
cpdef bint is_removed(const unsigned char *payload, Py_ssize_t at) noexcept
@cython.locals(p="const unsigned char *", units="unsigned int", at=Py_ssize_t, _=Py_ssize_t)
cpdef unsigned int units_of(bytes payload, Py_ssize_t count) except? 0
@cython.locals(p="unsigned char *", draft=Draft)
cpdef bytes patched(bytes payload, Py_ssize_t at, unsigned long long version, unsigned int expires,
                    unsigned int cseq, unsigned int modified, unsigned int methods, int q,
                    unsigned int origin)
@cython.locals(p="const unsigned char *", at=Py_ssize_t, highest="unsigned long long",
               version="unsigned long long", _=Py_ssize_t)
cpdef unsigned long long highest_version(bytes payload, Py_ssize_t count) except? 0
@cython.locals(live=Py_ssize_t, index=Py_ssize_t)
cpdef Py_ssize_t live_count(bytes payload, Py_ssize_t count, unsigned int now) except -1
@cython.locals(draft=Draft, at=Py_ssize_t, _=Py_ssize_t)
cpdef bytes contact_lines(bytes payload, Py_ssize_t count, unsigned int now)
@cython.locals(p="const unsigned char *", expires="unsigned int", q="unsigned int",
               reg_id="unsigned int", left="long long")
cdef int add_contact_line(Draft draft, bytes payload, Py_ssize_t at, unsigned int now) except -1
cpdef bytes q_text(int q)
