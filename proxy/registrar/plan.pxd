cimport cython

from proxy.registrar.binding cimport Binding
from proxy.registrar.registration cimport Registration, check_contact, reg_id_of
from proxy.registrar.rules cimport RegistrarRules
from proxy.registrar.tombstones cimport all_of_them
from proxy.sip.headers cimport ContactValue
from proxy.sip.uri cimport Uri, parse_uri, uri_equal

cdef int BEHIND_NAT


@cython.final
cdef class Plan:
    cdef readonly list bindings, changed, missed
    cdef readonly int repeats, removed, added

    cpdef bint touched(self, Binding binding)


@cython.locals(plan=Plan, binding=Binding, contact=ContactValue)
cpdef Plan make_plan(list live, Registration wanted)
@cython.locals(uri=Uri, seconds="long long", binding=Binding)
cdef _apply(Plan plan, ContactValue contact, Registration wanted)
@cython.locals(binding=Binding)
cdef Binding _named(ContactValue contact)
cdef int _remove(Plan plan, Binding binding) except -1
cdef bint _is_repeat(Binding binding, ContactValue contact, long long seconds,
                     Registration wanted) except -1
@cython.locals(reg_id="long long", instance=bytes, binding=Binding)
cdef Binding _matching(list bindings, ContactValue contact, Uri uri, Registration wanted)
cdef bint _is_equal(bytes stored, Uri uri) except -1
@cython.locals(rules=RegistrarRules)
cdef int _fill(Binding binding, ContactValue contact, Registration wanted) except -1
@cython.locals(surplus=Py_ssize_t, old=list, binding=Binding)
cdef int _make_room(Plan plan, RegistrarRules rules) except -1
