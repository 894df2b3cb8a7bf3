cimport cython
from libc.stdint cimport int64_t, uint32_t, uint64_t

from proxy.limits.rates cimport estimate, is_among
from proxy.shm.arena cimport Arena, fold

cdef uint32_t _TAILDROP, _RED, _SBT, _NETWORK, _RECLAIM
cdef Py_ssize_t _NAME_BYTES
cdef int _TRIES
cdef size_t _NODES
cdef uint64_t _MAX_LIMIT, _LOW, _AHEAD, _STALE_MS, _USED_MS, _REMOTE_TENTHS, _GONE
cdef size_t _LOCK, _TAGS, _WAITING, _SAMPLED_AT, _LIVE, _ROVER
cdef size_t _NAME_LENGTH, _ALGORITHM, _DROP_RATE, _LIMIT, _USED_AT, _DECLARED, _REMOTES, _NAME
cdef size_t _OFFERED, _ADMITTED, _REMOTE, _REMOTE_BYTES, _SLOTS


@cython.final
cdef class Pipes:
    cdef readonly Arena arena
    cdef readonly object timing
    cdef readonly uint32_t capacity
    cdef readonly size_t tags
    cdef readonly size_t entries_at
    cdef readonly size_t stride
    cdef readonly uint64_t seed
    cdef uint64_t _interval
    cdef uint64_t _slot_period
    cdef uint64_t _slots
    cdef uint64_t _ring
    cdef uint64_t _window
    cdef bint _per_interval

    @cython.locals(at="size_t")
    cpdef int check(self, bytes name, uint64_t limit, uint32_t algorithm,
                    uint64_t now_ms) except -1
    @cython.locals(most="uint64_t")
    cpdef uint64_t budget(self, uint64_t limit) noexcept
    @cython.locals(epoch="uint64_t", oldest="uint64_t", span="uint64_t", slots="size_t",
                   own="size_t")
    cdef int _check_window(self, size_t at, uint64_t most, uint64_t now_ms) except -1
    @cython.locals(epoch="uint64_t")
    cdef int _check_interval(self, size_t at, uint64_t most, uint64_t now_ms) except -1
    @cython.locals(number="uint64_t", offered="uint64_t")
    cdef int _check_evenly(self, size_t at, uint64_t most, uint64_t now_ms) except -1
    @cython.locals(number="uint64_t")
    cdef bint _is_dropped(self, size_t at, uint64_t now_ms) except *
    @cython.locals(sampled_at="uint64_t")
    cdef bint _is_known(self, uint64_t now_ms) except *
    @cython.locals(oldest="uint64_t", span="uint64_t")
    cpdef uint64_t recent(self, size_t at, uint32_t algorithm, uint64_t now_ms) except? 0
    @cython.locals(remotes="uint32_t", taken="uint64_t")
    cdef uint64_t _left(self, size_t at, uint64_t most, uint64_t now_ms) except? 0
    @cython.locals(oldest="uint64_t", total="uint64_t", word="uint64_t", place="size_t")
    cpdef uint64_t remote(self, size_t at, uint64_t now_ms) except? 0
    cdef uint64_t _count(self, size_t pair, uint64_t epoch) except? 0
    @cython.locals(epoch="uint64_t", current="uint64_t", previous="uint64_t")
    cdef uint64_t _recent(self, size_t pair, uint64_t now_ms) except? 0
    @cython.locals(word="uint64_t")
    cdef uint64_t _read(self, size_t at, uint64_t epoch) except? 0
    @cython.locals(word="uint64_t", changed="uint64_t", current="bint", _=int)
    cdef uint64_t _add(self, size_t at, uint64_t epoch) except? 0
    @cython.locals(word="uint64_t", _=int)
    cdef int _take_back(self, size_t at, uint64_t epoch) except -1
    cdef int _touch(self, size_t at, uint64_t limit, uint32_t algorithm, uint64_t now_ms) except -1
    @cython.locals(tag="int64_t")
    cpdef size_t find(self, bytes name) except? 0
    @cython.locals(hashed="uint64_t", mask="size_t", index="size_t", _="size_t", word="uint64_t",
                   at="size_t")
    cdef int64_t _tag(self, bytes name) except? -1
    cdef size_t _entry(self, size_t number) noexcept
    cdef bytes _shortened(self, bytes name)
    @cython.locals(at="size_t", number="int64_t")
    cpdef size_t make(self, bytes name, uint64_t limit, uint32_t algorithm,
                      uint64_t now_ms) except? 0
    @cython.locals(at="size_t", hashed="uint64_t", index="size_t", word="uint64_t", tag="uint64_t")
    cdef size_t _fill(self, size_t number, bytes name, uint64_t limit, uint32_t algorithm,
                      uint64_t now_ms) except? 0
    @cython.locals(rover="uint32_t", number="int64_t", step="uint32_t", tried="uint32_t")
    cdef int64_t _free_entry(self, uint64_t now_ms) except? -1
    cdef bint _is_idle(self, size_t at, uint64_t now_ms, uint64_t longer) except *
    @cython.locals(at="size_t", length="uint32_t", index="int64_t", mask="int64_t")
    cdef int _remove(self, size_t number) except -1
    @cython.locals(removed="int", longer="uint64_t", number="size_t")
    cpdef int expire(self, uint64_t now_ms) except -1
    cdef bint _lock(self) except *
    @cython.locals(live="uint32_t", number="uint64_t", index="size_t")
    cpdef int _repair(self) except -1
    @cython.locals(number="uint64_t", index="size_t", found="list")
    cpdef list entries(self)
    @cython.locals(found=list, number="uint32_t", at="size_t", used_at="uint64_t")
    cpdef list busy(self, uint64_t now_ms)
