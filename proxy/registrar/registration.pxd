cimport cython

from proxy.registrar.rules cimport RegistrarRules
from proxy.sip.address cimport Address
from proxy.sip.grammar cimport cut, holds
from proxy.sip.headers cimport (
    ContactValue, NameAddr, parse_contacts, parse_expires, parse_routes,
)
from proxy.sip.message cimport Message
from proxy.sip.patching cimport is_sent_by
from proxy.sip.uri cimport Uri, aor_key, parse_uri

cdef int ALLOW, CONTACT, EXPIRES, PATH, REQUIRE, SUPPORTED, USER_AGENT, VIA, SIP_PORT
cdef int CALL_ID_BYTES, CONTACT_BYTES, CONTACTS_PER_REGISTER, INSTANCE_BYTES, PATH_BYTES
cdef int USER_AGENT_BYTES
cdef int TO_URI
cdef long long CSEQ, LAST_SECOND
cdef unsigned int ALL_METHODS


@cython.final
cdef class Registration:
    cdef readonly bytes call_id, received, socket, aor, path, user_agent
    cdef readonly Address source
    cdef readonly RegistrarRules rules
    cdef readonly list contacts
    cdef readonly long long now, now_ms, seconds, cseq
    cdef readonly unsigned int methods
    cdef readonly bint star, supports_path

    cpdef long long wish(self, ContactValue contact)
    @cython.locals(expires="long long")
    cpdef long long until(self, ContactValue contact) except? 0


@cython.locals(wanted=Registration, to_uri=bytes)
cpdef Registration read_registration(Message request, Address source, bytes listener,
                                     long long now, long long now_ms, RegistrarRules rules)
@cython.locals(uri=Uri)
cpdef bytes address_of_record(bytes raw, RegistrarRules rules)
@cython.locals(source=Address, contact=ContactValue, host=bytes)
cdef bint _is_behind_nat(Message request, Registration wanted) except *
cdef int _read_path(Registration wanted, Message request) except -1
@cython.locals(rules=RegistrarRules, contacts=list, contact=ContactValue, expires=bytes,
               allow=bytes, agent=bytes)
cdef int _read_contacts(Registration wanted, Message request) except -1
@cython.locals(instance=bytes, uri=Uri)
cpdef Uri check_contact(ContactValue contact)
cpdef long long reg_id_of(ContactValue contact)
