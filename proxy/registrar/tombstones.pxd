cimport cython

from proxy.registrar.binding cimport Binding

cdef int REMOVED, REMOVED_EXPIRES
cdef Py_ssize_t MOST

cpdef bytes name_of(Binding binding)
@cython.locals(made=Binding)
cpdef Binding tombstone_of(Binding binding, unsigned int now, unsigned int node)
cpdef list all_of_them()
cpdef bint stands_for_all(Binding binding) except -1
@cython.locals(binding=Binding)
cpdef list tombstones_of(list bindings, unsigned int now, unsigned int node)
@cython.locals(binding=Binding, old=Binding, each=Binding, names=set, dead=dict, name=bytes,
               tombstones=list, everything=Binding, least="unsigned long long")
cpdef list buried(list kept, list stored, list gone, unsigned long long version)
