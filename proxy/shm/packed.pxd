"""words.py for compiled code: the same numbers in the same bytes, without a call.

Each is one load or store of a machine that keeps numbers as the files and frames do.
"""

from libc.stdint cimport uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from cpython.bytearray cimport (
    PyByteArray_AS_STRING, PyByteArray_FromStringAndSize, PyByteArray_GET_SIZE,
)
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memset

cdef extern from *:
    void __builtin_prefetch(const void *) noexcept


cdef inline bytearray blank(Py_ssize_t size):
    cdef bytearray made = PyByteArray_FromStringAndSize(NULL, size)
    memset(PyByteArray_AS_STRING(made), 0, size)
    return made

cdef inline bytearray drafted(bytes record):
    return PyByteArray_FromStringAndSize(PyBytes_AS_STRING(record), PyBytes_GET_SIZE(record))

cdef inline bytes fixed(bytearray draft):
    return PyBytes_FromStringAndSize(PyByteArray_AS_STRING(draft), PyByteArray_GET_SIZE(draft))

cdef inline unsigned int get_u16(const unsigned char *p, Py_ssize_t at) noexcept:
    cdef uint16_t value
    memcpy(&value, p + at, 2)
    return value

cdef inline unsigned int get_u32(const unsigned char *p, Py_ssize_t at) noexcept:
    cdef uint32_t value
    memcpy(&value, p + at, 4)
    return value

cdef inline unsigned long long get_u64(const unsigned char *p, Py_ssize_t at) noexcept:
    cdef uint64_t value
    memcpy(&value, p + at, 8)
    return value

cdef inline void put_u16(unsigned char *p, Py_ssize_t at, unsigned int value) noexcept:
    cdef uint16_t stored = <uint16_t>value
    memcpy(p + at, &stored, 2)

cdef inline void put_u32(unsigned char *p, Py_ssize_t at, unsigned int value) noexcept:
    cdef uint32_t stored = value
    memcpy(p + at, &stored, 4)

cdef inline void put_u64(unsigned char *p, Py_ssize_t at, unsigned long long value) noexcept:
    cdef uint64_t stored = value
    memcpy(p + at, &stored, 8)

cdef inline void warm(const unsigned char *p, Py_ssize_t at) noexcept:
    __builtin_prefetch(p + at)
