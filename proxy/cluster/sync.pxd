cimport cython

from proxy.cluster.digests cimport bucket_of, hash_bytes
from proxy.shm.mixing cimport hash_words, mix

cdef unsigned long long _ALL
cdef Py_ssize_t _BATCH_RECORDS, _SNAPSHOT_BYTES

@cython.locals(total="unsigned long long", table="unsigned int", key=bytes, body=bytes)
cpdef unsigned long long content_sum(list records) except? 0
@cython.locals(found=list, p="const unsigned char *", record=tuple, table="unsigned int", key=bytes)
cpdef list those_wanted(list records, bytes wanted)
@cython.locals(size=Py_ssize_t, taken=Py_ssize_t, key=bytes, body=bytes)
cpdef Py_ssize_t fitting(list records) except -1
