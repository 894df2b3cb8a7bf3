"""The table of answers adds no C members."""

from proxy.shm.table cimport Table


cdef class AnswerTable(Table):
    pass
