cimport cython

from proxy.registrar.record cimport binding_count
from proxy.shm.table cimport Table
from proxy.shm.packed cimport get_u16, get_u32, get_u64, put_u32, put_u64

cdef int AT_CSEQ, AT_EXPIRES, AT_MODIFIED, AT_ORIGIN, AT_VERSION, HEAD
cdef unsigned int MOST_CSEQ
cdef str MARK

@cython.locals(copy=bytearray, p="unsigned char *")
cpdef long long rest_of(bytes payload) except? 0
@cython.locals(key=bytes, payload=bytes, p="const unsigned char *", rest="long long",
               version="unsigned long long", new_version="unsigned long long",
               modified="long long", last_time="long long", cseq="unsigned int",
               refreshed=list, after=dict, others=list, identities=tuple, when=str)
cpdef object sort_out(object keys, Table table, dict known, unsigned int node, object as_time)
