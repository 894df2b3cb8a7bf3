cimport cython


cdef class Question:
    cdef readonly bytes kind
    cdef readonly bytes key


@cython.final
cdef class SubscriberQuestion(Question):
    cdef readonly bytes username
    cdef readonly bytes realm
    cdef readonly bint use_domain
    cdef readonly bint calculate_ha1


@cython.final
cdef class AliasQuestion(Question):
    cdef readonly bytes user
    cdef readonly bytes domain


@cython.final
cdef class UrisQuestion(Question):
    cdef readonly bytes username
    cdef readonly bytes domain
