cimport cython

from proxy.registrar.binding cimport Binding

@cython.locals(user=bytes, domain=bytes, more=dict, row=dict)
cpdef dict location_row(bytes key, Binding binding, object identity, object as_time)
cpdef str key_values(unsigned long long version, dict more)
@cython.locals(text=str)
cpdef str fitting(str column, bytes value, dict more)
cpdef dict parse_key_values(object kv_store)
cdef bytes _bytes(str column, object row, dict more)
