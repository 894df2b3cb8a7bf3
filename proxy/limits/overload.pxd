cimport cython

ctypedef const unsigned char *Bytes

cdef int _ADMIT, _REFUSE, _DROP
cdef int AGED
cdef double INTERVAL, INTEGRAL, PROPORTIONAL, EASING, LONGEST, AGES
cdef tuple _ORDER, _RANKS
cdef dict _COSTS
cdef int _KINDS, _EVERYTHING
cdef Py_ssize_t _DRAWN_BYTES
cdef unsigned int _FACTOR, _MASK

@cython.locals(p=Bytes, size=Py_ssize_t, at=Py_ssize_t, value="unsigned int", word="unsigned int")
cpdef unsigned int draw(bytes data, unsigned int salt) except? 0

@cython.final
cdef class Shedder:
    cdef public unsigned int salt
    cdef readonly double target, stale, answers
    cdef readonly unsigned int retry_after
    cdef public double pressure, silent
    cdef public bint active
    cdef public bint aged, late
    cdef public long long aged_before_ns, late_before_ns
    cdef readonly double delay
    cdef public long long turned_away
    cdef double _least, _before, _looked_at
    cdef int thresholds[6]
    cdef long long offered[6]
    cdef double shares[6]
    cpdef use_rules(self, object rules)
    cpdef observe(self, double waited, double standing, double now)
    cpdef date(self, double waited, double standing, long long now_ns)
    cpdef note_age(self, long long received_ns)
    @cython.locals(elapsed=double, delay=double, change=double)
    cpdef look(self, double now)
    @cython.locals(granted=double, unsaid=double)
    cdef budget(self, double elapsed)
    @cython.locals(total=double, left=double, load=double, part=double, kind=int)
    cdef share_out(self)
    @cython.locals(place=int, threshold=int)
    cpdef int verdict(self, int kind, unsigned int drawn) except -1
    cpdef int threshold(self, int kind) except -1
    cpdef unread(self, long long count)
