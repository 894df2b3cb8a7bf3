cimport cython
from proxy.registrar.lookup cimport Target

cdef int BRANCHES

@cython.locals(target=Target, groups=list)
cpdef list grouped(list targets)
