cimport cython

from proxy.registrar.binding cimport encode
from proxy.registrar.record cimport binding_count, due_at, units_of
from proxy.shm.table cimport Table

@cython.locals(count=Py_ssize_t)
cpdef bint commit_record(Table table, bytes aor, unsigned long long stamp, bytes record) except -1
cpdef bint commit_bindings(Table table, bytes aor, unsigned long long stamp,
                           list bindings) except -1
