cimport cython
from libc.stdint cimport int64_t, uint32_t, uint64_t

from proxy.shm.arena cimport Arena
from proxy.shm.chains cimport Chains

cdef unsigned long long _LOW
cdef uint32_t _LIVE, _MAX_CHAIN
cdef size_t _NEXT, _STATE, _CHECKSUM, _PAYLOAD_LENGTH, _UNITS, _KEY_LENGTH, _EXPIRES_AT, _HEADER
cdef size_t _EPOCH, _COUNT, _UNITS_SUM, _BROKEN, _RECORDS_AT, _REPAIRS_AT, _RECOVERED_AT
cdef size_t _TOUCHED_AT
cdef size_t _LINE, _PAGE, _WARMED
cdef Py_ssize_t _AHEAD
cdef int _RETRIES


cdef class Table(Chains):
    cdef public object loaded
    cdef public size_t scavenge_cursor
    cdef readonly uint64_t committed, seen

    cpdef tuple snapshot(self, bytes key)
    @cython.locals(hash32="uint32_t", at="size_t", epoch_at="size_t", epoch="uint32_t",
                   attempt="int", key_length="size_t", length="size_t", payload="bytes")
    cpdef bytes read(self, bytes key)
    @cython.locals(key="bytes", hash32="uint32_t")
    cpdef int warm(self, list keys) except -1
    @cython.locals(at="size_t")
    cdef int _warm_first(self, uint32_t bucket) except -1
    @cython.locals(hash32="uint32_t", stripe_at="size_t")
    cpdef bint commit(self, bytes key, uint64_t stamp, bytes payload, uint64_t expires_at,
                      uint32_t units) except -1
    cpdef int touch(self, uint64_t now) except -1
    cpdef uint64_t expires_at(self, bytes key) except? 0
    @cython.locals(bucket="Py_ssize_t", end="Py_ssize_t", warmed="Py_ssize_t")
    cpdef tuple scan(self, Py_ssize_t cursor, Py_ssize_t limit)
    @cython.locals(bucket="uint32_t")
    cpdef list scan_stripe(self, uint32_t stripe)
    @cython.locals(bucket="Py_ssize_t", end="Py_ssize_t")
    cpdef tuple due(self, uint64_t now, Py_ssize_t cursor, Py_ssize_t limit)
    @cython.locals(at="size_t", stripe_at="size_t")
    cdef bytes _read_locked(self, bytes key, uint32_t hash32)
    @cython.locals(at="size_t", fresh="size_t", link_at="size_t", follows="uint32_t",
                   old_units="int64_t", stripe_at="size_t", old_size="size_t")
    cdef bint _commit_locked(self, bytes key, uint32_t hash32, uint64_t stamp, bytes payload,
                             uint64_t expires_at, uint32_t units) except -1
    cdef int _admit(self) except -1
    @cython.locals(at="size_t", key_length="size_t", length="size_t")
    cdef size_t _write(self, bytes key, uint32_t hash32, bytes payload, uint64_t expires_at,
                       uint32_t units, size_t replaces) except 0
    @cython.locals(stripe_at="size_t")
    cdef int _tally(self, uint32_t hash32, int records, int64_t units) except -1
    @cython.locals(epoch_at="size_t")
    cpdef bint retire(self, size_t at, uint32_t hash32) except -1
    @cython.locals(epoch_at="size_t", epoch="uint32_t", attempt="int", rows="list")
    cdef list _rows(self, uint32_t bucket, bint only_due, uint64_t now)
    @cython.locals(at="size_t", steps="uint32_t")
    cdef bint _may_be_due(self, uint32_t bucket, uint64_t now) except -1
    @cython.locals(at="size_t", steps="uint32_t", key_length="size_t", length="size_t",
                   size="size_t", rows="list", key="bytes", payload="bytes")
    cdef list _walk(self, uint32_t bucket, bint only_due, uint64_t now)
