cimport cython

from proxy.shm.packed cimport get_u32, put_u16, put_u32
from proxy.sip.draft cimport Draft

cdef int RECORD_HEAD
cdef bytes _RECORD_ROOM
cdef unsigned int MOST_RECORDS, LONGEST_KEY, LONGEST_BODY

@cython.locals(draft=Draft, key=bytes, body=bytes, table="unsigned int")
cpdef bytes encode_records(bytes head, list records)
@cython.locals(at=Py_ssize_t, p="unsigned char *")
cpdef int add_record(Draft to, unsigned int table, bytes key, bytes body) except -1
@cython.locals(p="const unsigned char *", size=Py_ssize_t, count="unsigned int", found=list,
               length=Py_ssize_t, key_size="unsigned int", body_size="unsigned int",
               key_at=Py_ssize_t, body_at=Py_ssize_t)
cpdef list decode_records(bytes data, Py_ssize_t at)
