cimport cython

from proxy.registrar.domains cimport Domains

cdef Py_ssize_t KNOWN_ALLOWS, BRIEF_LIMIT


@cython.final
cdef class RegistrarRules:
    cdef readonly Domains domains
    cdef readonly long long default_expires, min_expires, max_expires
    cdef readonly double expires_jitter
    cdef readonly object uniform
    cdef readonly long long max_contacts, cseq_delay, node
    cdef readonly bint replace_when_full, refuse_brief, match_call_id, replicated
    cdef readonly bint takes_path, echoes_path, demands_path
    cdef readonly bytes retry_after, tag
    cdef dict _masks

    cpdef unsigned int methods_of(self, bytes allow) except? 0
    cpdef bint is_brief(self, long long seconds)
    @cython.locals(shortened="long long", share=double, cut=double)
    cpdef long long granted(self, long long seconds) except? 0
