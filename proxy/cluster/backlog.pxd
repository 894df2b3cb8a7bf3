cimport cython

@cython.locals(note=tuple)
cdef _lay_down(list kept, list notes, Py_ssize_t head, Py_ssize_t most)
