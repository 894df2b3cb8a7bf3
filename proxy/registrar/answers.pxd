cimport cython

from proxy.shm.answer_table cimport AnswerTable
from proxy.shm.packed cimport get_u32

cdef int _FOUND, _ABSENT, _UNKNOWN, _HEAD
cdef long long _ASK_AGAIN


@cython.final
cdef class Answer:
    cdef readonly int state
    cdef readonly long long fetched
    cdef readonly long long asked
    cdef readonly bytes body
    cdef readonly unsigned long long stamp


@cython.locals(made=Answer)
cpdef Answer answer_of(int state, bytes body, long long now)


cdef class Answers:
    cdef readonly AnswerTable table
    cdef readonly long long ttl
    cdef readonly long long negative_ttl
    cdef readonly long long stale_seconds
    cdef public long long not_kept
    cdef long long _negatives
    cdef long long _counted_at

    @cython.locals(payload=bytes, made=Answer, p="const unsigned char *")
    cpdef Answer look(self, bytes key)
    cpdef bint is_fresh(self, Answer answer, long long now) except *
    cpdef bint is_ageing(self, Answer answer, long long now) except *
    cpdef bint is_tolerable(self, Answer answer, long long now) except *
