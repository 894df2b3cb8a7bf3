cimport cython

from proxy.shm.table cimport Table
from proxy.cluster.hlc cimport HybridClock
from proxy.registrar.binding cimport Binding, Faults, decode, encode
from proxy.registrar.commit cimport commit_record
from proxy.registrar.plan cimport Plan, make_plan
from proxy.shm.packed cimport get_u32
from proxy.registrar.record cimport (
    binding_count, contact_lines, due_at, find_contact, highest_version, is_live, live_count,
    patched, same_string, units_of,
)
from proxy.registrar.registration cimport Registration, read_registration, reg_id_of
from proxy.registrar.rules cimport RegistrarRules
from proxy.registrar.tombstones cimport buried, tombstones_of
from proxy.sip.address cimport Address
from proxy.sip.headers cimport ContactValue
from proxy.sip.message cimport Message

cdef int ATTEMPTS
cdef int AT_CSEQ, AT_REG_ID, CALL_ID, INSTANCE, PATH, RECEIVED, REMOVED, SOCKET, TAG, USER_AGENT


@cython.final
cdef class RegisterResult:
    cdef readonly int status
    cdef readonly bytes reason, headers, aor
    cdef readonly bint changed
    cdef readonly Py_ssize_t contacts, expired


@cython.locals(result=RegisterResult)
cpdef RegisterResult make_result(int status, bytes reason, bytes headers, bytes aor)
@cython.locals(wanted=Registration, result=RegisterResult, aor=bytes, _=int)
cpdef RegisterResult save(Table table, Message request, Address source, bytes listener,
                          long long now_wall, long long now_ms, RegistrarRules rules,
                          HybridClock clock, Faults faults=*)
@cython.locals(payload=bytes, count=Py_ssize_t, at=Py_ssize_t)
cdef RegisterResult _attempt(Table table, Registration wanted, HybridClock clock, Faults faults)
@cython.locals(contact=ContactValue, at=Py_ssize_t)
cdef Py_ssize_t _plain_refresh(bytes payload, Py_ssize_t count, Registration wanted) except -1
@cython.locals(contact=ContactValue, record=bytes, due="unsigned int",
               units="unsigned int", result=RegisterResult)
cdef RegisterResult _refresh(Table table, Registration wanted, HybridClock clock, bytes payload,
                             Py_ssize_t count, unsigned long long stamp, Py_ssize_t at)
@cython.locals(stored=list, live=list, rules=RegistrarRules, each_leaves_one=bint, gone=list,
               plan=Plan, record=bytes, version="unsigned long long", binding=Binding, kept=list,
               result=RegisterResult)
cdef RegisterResult _replace(Table table, Registration wanted, HybridClock clock, bytes payload,
                             Py_ssize_t count, unsigned long long stamp)
@cython.locals(binding=Binding, expired=Py_ssize_t)
cdef Py_ssize_t _expired(list stored, unsigned int now) except -1
@cython.locals(result=RegisterResult, headers=bytes, contacts=Py_ssize_t)
cdef RegisterResult _answer(Registration wanted, bytes record, Py_ssize_t count)
