"""words.py for compiled code: the same numbers in the same bytes, without a call."""

from cpython.bytearray cimport (
    PyByteArray_AS_STRING, PyByteArray_FromStringAndSize, PyByteArray_GET_SIZE,
)
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memset


cdef inline bytearray blank(Py_ssize_t size):
    cdef bytearray made = PyByteArray_FromStringAndSize(NULL, size)
    memset(PyByteArray_AS_STRING(made), 0, size)
    return made

cdef inline bytearray drafted(bytes record):
    return PyByteArray_FromStringAndSize(PyBytes_AS_STRING(record), PyBytes_GET_SIZE(record))

cdef inline bytes fixed(bytearray draft):
    return PyBytes_FromStringAndSize(PyByteArray_AS_STRING(draft), PyByteArray_GET_SIZE(draft))

cdef inline unsigned int get_u16(const unsigned char *p, Py_ssize_t at) noexcept:
    return p[at] | <unsigned int>p[at + 1] << 8

cdef inline unsigned int get_u32(const unsigned char *p, Py_ssize_t at) noexcept:
    return get_u16(p, at) | get_u16(p, at + 2) << 16

cdef inline unsigned long long get_u64(const unsigned char *p, Py_ssize_t at) noexcept:
    return get_u32(p, at) | <unsigned long long>get_u32(p, at + 4) << 32

cdef inline void put_u16(unsigned char *p, Py_ssize_t at, unsigned int value) noexcept:
    p[at] = <unsigned char>value
    p[at + 1] = <unsigned char>(value >> 8)

cdef inline void put_u32(unsigned char *p, Py_ssize_t at, unsigned int value) noexcept:
    put_u16(p, at, value)
    put_u16(p, at + 2, value >> 16)

cdef inline void put_u64(unsigned char *p, Py_ssize_t at, unsigned long long value) noexcept:
    put_u32(p, at, <unsigned int>value)
    put_u32(p, at + 4, <unsigned int>(value >> 32))
