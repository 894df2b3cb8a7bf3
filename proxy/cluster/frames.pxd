cimport cython

from proxy.shm.packed cimport get_u32, get_u64, put_u16, put_u32, put_u64

cdef int RECORD_HEAD
cdef unsigned int MOST_RECORDS, LONGEST_KEY, LONGEST_BODY

@cython.locals(p="const unsigned char *", index=Py_ssize_t, size=Py_ssize_t)
cdef Py_ssize_t _put(unsigned char *to, Py_ssize_t at, bytes data) noexcept
@cython.locals(p="unsigned char *", buffer=bytearray, key=bytes, body=bytes,
               table="unsigned char", key_size=Py_ssize_t, body_size=Py_ssize_t, size=Py_ssize_t,
               at=Py_ssize_t)
cpdef bytes encode_records(bytes head, list records)
@cython.locals(p="const unsigned char *", size=Py_ssize_t, count="unsigned int", found=list,
               length=Py_ssize_t, key_size="unsigned int", body_size="unsigned int",
               key_at=Py_ssize_t, body_at=Py_ssize_t)
cpdef list decode_records(bytes data, Py_ssize_t at)
