"""What one REGISTER asks for, read and judged before any table is looked at (RFC 3261 §10.3)."""

from __future__ import annotations

import cython

from proxy.constants import SIP_PORT
from proxy.errors import BadMessage, Refused
from proxy.limits.bounds import (
    CALL_ID_BYTES,
    CONTACT_BYTES,
    CONTACTS_PER_REGISTER,
    CSEQ,
    INSTANCE_BYTES,
    PATH_BYTES,
    USER_AGENT_BYTES,
)
from proxy.registrar.methods import ALL_METHODS
from proxy.registrar.rules import RegistrarRules
from proxy.sip.address import Address
from proxy.sip.header_ids import ALLOW, CONTACT, EXPIRES, PATH, REQUIRE, SUPPORTED, USER_AGENT, VIA
from proxy.sip.headers import ContactValue, parse_contacts, parse_expires, parse_routes
from proxy.sip.message import Message
from proxy.sip.patching import is_sent_by
from proxy.sip.uri import Uri, aor_key, parse_uri

if not cython.compiled:
    from proxy.sip.grammar import cut, holds

LAST_SECOND = 0xFFFF_FFFF  # as far as a record's expiry reaches

TO_URI = 2  # the slot of Message.to_at, as proxy/sip/values.py numbers them


@cython.freelist(16)
@cython.cclass
class Registration:
    """One REGISTER's wishes; nothing in it depends on what the table holds."""

    now: int
    now_ms: int
    rules: RegistrarRules
    source: Address
    received: bytes  # the source as hostport, of a phone behind NAT; else empty
    socket: bytes
    call_id: bytes
    cseq: int
    aor: bytes
    contacts: list[ContactValue]
    star: bool
    seconds: int  # for a contact that says nothing itself
    path: bytes
    supports_path: bool
    methods: int
    user_agent: bytes

    def wish(self, contact: ContactValue) -> int:
        """How many seconds are asked for `contact` (§10.2.1.1)."""
        return self.seconds if contact.expires < 0 else contact.expires

    def until(self, contact: ContactValue) -> int:
        """When the binding of `contact` will run out."""
        expires = self.now + self.rules.granted(self.wish(contact))
        return expires if expires < LAST_SECOND else LAST_SECOND


def read_registration(
    request: Message,
    source: Address,
    listener: bytes,
    now: int,
    now_ms: int,
    rules: RegistrarRules,
) -> Registration:
    """The registration a REGISTER asks for; BadMessage (or Refused) when it may not have it."""
    # No constructor: this is made for every REGISTER, and a call with six arguments shows.
    wanted = Registration.__new__(Registration)
    wanted.now = now
    wanted.now_ms = now_ms
    wanted.rules = rules
    wanted.source = source
    wanted.received = b""
    wanted.socket = listener
    wanted.call_id = request.call_id
    wanted.cseq = request.cseq
    wanted.contacts = []
    wanted.star = False
    wanted.seconds = 0
    wanted.path = b""
    wanted.supports_path = False
    wanted.methods = ALL_METHODS
    wanted.user_agent = b""
    if request.has(REQUIRE):
        _check_required(request.values(REQUIRE), rules)
    if request.has(PATH) and rules.takes_path:
        _read_path(wanted, request)
    if len(wanted.call_id) > CALL_ID_BYTES:
        raise BadMessage("Call-ID too long", 400)
    to_uri = cut(request.data, request.to_at[TO_URI], request.to_at[TO_URI + 1])
    wanted.aor = address_of_record(to_uri, rules)
    if request.has(CONTACT):
        _read_contacts(wanted, request)
        if not wanted.path and _is_behind_nat(request, wanted):
            wanted.received = source.hostport
    return wanted


def address_of_record(raw: bytes, rules: RegistrarRules) -> bytes:
    """The key of the To URI; 404 when it is not one of ours (§10.3-5)."""
    uri = parse_uri(raw)
    if not uri.is_sip or not uri.user or not rules.domains.serves(uri.host):
        raise BadMessage("Not Found", 404)
    return aor_key(uri)


def _is_behind_nat(request: Message, wanted: Registration) -> bool:
    """Whether the phone believes itself elsewhere than its datagrams come from.

    Then its contacts are reached at the source of the REGISTER and not at what they say. A port
    alone tells only of one that asked for symmetric responses (RFC 3581 §3). Behind another
    proxy the source is that proxy's, and nothing follows.
    """
    source = wanted.source
    if not is_sent_by(request, source):
        return True
    if request.wants_rport() and (request.sent_by_port() or SIP_PORT) != source.port:
        return True
    if request.next_of(request.first_of(VIA)) >= 0:
        return False
    for contact in wanted.contacts:
        if contact.star or holds(contact.uri, source.host):
            continue
        host = parse_uri(contact.uri).host
        if host[-1:].isdigit() or b":" in host:
            return True
    return False


def _check_required(options: list[bytes], rules: RegistrarRules) -> None:
    unknown = [option for option in options if not (option.lower() == b"path" and rules.takes_path)]
    if unknown:
        lines = b"Unsupported: " + b", ".join(unknown) + b"\r\n"
        raise Refused("Bad Extension", 420, lines)


def _read_path(wanted: Registration, request: Message) -> None:
    """RFC 3327 §5.3; `strict` is what it recommends, `lazy` what most phones need."""
    values = request.values(PATH)
    wanted.path = b", ".join(values)
    supported = [option.lower() for option in request.values(SUPPORTED)]
    wanted.supports_path = b"path" in supported
    if wanted.rules.demands_path and not wanted.supports_path:
        lines = b"Unsupported: path\r\nPath: " + wanted.path + b"\r\n"
        raise Refused("Bad Extension", 420, lines)
    if len(wanted.path) > PATH_BYTES:
        raise BadMessage("Path too long", 400)
    parse_routes(values)


def _read_contacts(wanted: Registration, request: Message) -> None:
    rules = wanted.rules
    contacts = parse_contacts(request.headers(CONTACT))
    if len(contacts) > CONTACTS_PER_REGISTER:
        raise BadMessage("Too many Contacts", 400)
    expires = request.header(EXPIRES)
    wanted.seconds = rules.default_expires if expires is None else parse_expires(expires)
    wanted.contacts = contacts
    for contact in contacts:
        if contact.star:
            # §10.3-6: alone, and only to remove everything.
            if len(contacts) > 1 or expires is None or wanted.seconds != 0:
                raise BadMessage("Contact * needs Expires 0 and no other Contact", 400)
            wanted.star = True
        elif rules.is_brief(wanted.wish(contact)):
            lines = b"Min-Expires: " + str(rules.min_expires).encode() + b"\r\n"
            raise Refused("Interval Too Brief", 423, lines)
    allow = request.header(ALLOW)
    if allow is not None:
        if request.next_of(request.first_of(ALLOW)) >= 0:
            allow = b",".join(request.headers(ALLOW))
        wanted.methods = rules.methods_of(allow)
    agent = request.header(USER_AGENT)
    if agent is not None:
        wanted.user_agent = agent if len(agent) <= USER_AGENT_BYTES else agent[:USER_AGENT_BYTES]


def check_contact(contact: ContactValue) -> Uri:
    """The URI of a contact that may be stored; BadMessage for one that may not."""
    if len(contact.uri) > CONTACT_BYTES:
        raise BadMessage("Contact too long", 400)
    instance = contact.instance
    if len(instance) > INSTANCE_BYTES or b'"' in instance or b"\\" in instance:
        raise BadMessage("Bad +sip.instance", 400)
    uri = parse_uri(contact.uri)
    if not uri.is_sip:
        raise BadMessage("Contact is not a SIP URI", 400)
    return uri


def reg_id_of(contact: ContactValue) -> int:
    """The reg-id that, with an instance, names a flow (RFC 5626 §4.2); 0 when there is none."""
    return contact.reg_id if contact.instance and 0 < contact.reg_id <= CSEQ else 0
