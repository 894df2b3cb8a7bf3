cimport cython
from proxy.shm.slots cimport Counters

ctypedef const unsigned char *Bytes

cdef int INTERNAL_LISTENER
cdef int RECEIVED_METHOD, SENT_METHOD, RECEIVED_CODE, SENT_CODE, WAITED, TAKEN
cdef int CLASS_COUNT, HISTOGRAM, STEPS, OTHER, OTHER_CLASS, RESPONSE_CLASS, BYTES
cdef int LONGEST
cdef int FIRST_OF[256]
cdef int FIRST[14]
cdef int SECOND[14]
cdef int THIRD[14]
cdef int LENGTH[14]
cdef int CLASS_OF[15]
cdef long long ENDS_US[14]

@cython.locals(p=Bytes, at=int)
cpdef int method_of(bytes data) except -1
@cython.locals(p=Bytes, code=int)
cpdef int code_of(bytes data) except -1
@cython.locals(step=int)
cpdef int step_of(long long time_us) except -1

@cython.final
cdef class Traffic:
    cdef readonly Counters counters
    cdef int seen[5]
    @cython.locals(listener=int, data=bytes, code=int, method=int)
    cpdef received(self, list batch)
    @cython.locals(data=bytes, code=int)
    cpdef sent(self, list outbox)
    @cython.locals(total=int, kind=int, count=int)
    cpdef settle(self, long long waited_ns, long long taken_ns)
    cdef observe(self, int histogram, int count, long long time_us)
