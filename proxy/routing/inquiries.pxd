cimport cython
from proxy.registrar.answers cimport Answer, Answers
from proxy.registrar.questions cimport Question
from proxy.routing.node cimport Node
from proxy.routing.pending cimport Pending

cdef double FETCH_SECONDS, AWAY_SECONDS
cdef int WAITERS


cdef class Inquiry(Pending):
    cdef readonly Inquiries inquiries
    cdef readonly Question question
    cpdef finish(self, object result)


@cython.final
cdef class Inquiries:
    cdef readonly Node node
    cdef public Answers answers
    cdef readonly object ask
    cdef readonly object tell
    cdef readonly dict waiting
    cdef readonly bint away
    cdef readonly double away_until
    cdef readonly double heard_at

    @cython.locals(now="long long", answer=Answer)
    cpdef Answer known(self, Question question)
    cpdef fetch(self, Question question, Answer answer)
    cpdef answered(self, bytes key, bytes body)
    cpdef failed(self, bytes key, int why)
    cpdef give_up(self, bytes key, int why)
    cpdef told(self, bytes news)
    cpdef bint is_heard_of(self) except *
    cpdef is_away(self)
    cpdef is_back(self)
    cpdef go_on(self, bytes key, Answer answer)
