"""A binding of an address-of-record to a contact, and the record that holds all of one AoR's."""

from __future__ import annotations

import cython

from proxy.errors import CorruptRecord
from proxy.registrar.layout import (
    AT_CSEQ,
    AT_EXPIRES,
    AT_FLAGS,
    AT_LENGTHS,
    AT_METHODS,
    AT_MODIFIED,
    AT_ORIGIN,
    AT_Q,
    AT_REG_ID,
    AT_STRINGS,
    AT_VERSION,
    BINDING,
    CALL_ID,
    CONTACT,
    FORMAT,
    HEAD,
    INSTANCE,
    LAST_VERSION,
    NO_Q,
    PATH,
    RECEIVED,
    SOCKET,
    TAG,
    USER_AGENT,
)
from proxy.registrar.record import binding_count, string

if not cython.compiled:
    from proxy.shm.words import get_u16, get_u32, get_u64, put_u16, put_u32, put_u64

MOST_BINDINGS = 255  # one byte of the record says how many
LONGEST_STRING = 0xFFFF


class Faults:
    """What went wrong quietly: plain counts, which the owner adds to its counters now and then."""

    def __init__(self) -> None:
        self.corrupt = 0  # records read as absent
        self.conflicts = 0  # commits another process was ahead of
        self.full = 0
        self.lock_timeouts = 0


@cython.freelist(64)
@cython.cclass
class Binding:
    """One contact of an AoR with everything a registrar knows of it (design R8)."""

    def __init__(self, contact: bytes, call_id: bytes = b"", cseq: int = 0) -> None:
        self.contact = contact
        self.call_id = call_id
        self.cseq = cseq
        self.received = b""  # the hostport the REGISTER came from
        self.path = b""  # Path values, comma-joined: a Route value as it stands
        self.socket = b""  # our listener's hostport
        self.instance = b""  # +sip.instance without its quotes
        self.user_agent = b""
        self.tag = b""  # the sharing tag that acts for it
        self.version = 0
        self.expires = 0  # wall-clock seconds; 0 = permanent
        self.modified = 0
        self.methods = 0xFFFF_FFFF
        self.reg_id = 0
        self.q = -1  # thousandths; -1 = not said
        self.flags = 0
        self.origin = 0

    def is_live(self, now: int) -> bool:
        """Whether it still holds at `now`."""
        return self.expires == 0 or self.expires > now

    def __repr__(self) -> str:
        return f"<Binding {self.contact!r} expires={self.expires} cseq={self.cseq}>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Binding):
            return NotImplemented
        return encode([self]) == encode([other])

    __hash__ = None  # type: ignore[assignment]


def decode(payload: bytes) -> list[Binding]:
    """The bindings of a record; CorruptRecord when it is not one."""
    count = binding_count(payload)
    if count < 0:
        raise CorruptRecord(f"a location record of {len(payload)} bytes is not sound")
    return [_decode_one(payload, HEAD + index * BINDING) for index in range(count)]


def _decode_one(payload: bytes, at: int) -> Binding:
    p = payload
    binding = Binding(b"")
    binding.version = get_u64(p, at + AT_VERSION)
    binding.expires = get_u32(p, at + AT_EXPIRES)
    binding.cseq = get_u32(p, at + AT_CSEQ)
    binding.methods = get_u32(p, at + AT_METHODS)
    binding.modified = get_u32(p, at + AT_MODIFIED)
    binding.reg_id = get_u32(p, at + AT_REG_ID)
    q = get_u16(p, at + AT_Q)
    binding.q = -1 if q == NO_Q else q
    binding.flags = get_u16(p, at + AT_FLAGS)
    binding.origin = get_u16(p, at + AT_ORIGIN)
    binding.contact = string(payload, at, CONTACT)
    binding.received = string(payload, at, RECEIVED)
    binding.path = string(payload, at, PATH)
    binding.socket = string(payload, at, SOCKET)
    binding.call_id = string(payload, at, CALL_ID)
    binding.instance = string(payload, at, INSTANCE)
    binding.user_agent = string(payload, at, USER_AGENT)
    binding.tag = string(payload, at, TAG)
    return binding


def encode(bindings: list[Binding]) -> bytes:
    """The record of these bindings, in this order."""
    count = len(bindings)
    if not 0 < count <= MOST_BINDINGS:
        raise CorruptRecord(f"a location record cannot hold {count} bindings")
    head = bytearray(HEAD + count * BINDING)
    pieces = [b""]
    size = len(head)
    at = HEAD
    for binding in bindings:
        size = _encode_one(head, pieces, at, size, binding)
        at += BINDING
    head[0] = FORMAT
    head[1] = count
    put_u32(head, 4, size)
    pieces[0] = bytes(head)
    return b"".join(pieces)


def _encode_one(head: bytearray, pieces: list[bytes], at: int, size: int, binding: Binding) -> int:
    if binding.version >= LAST_VERSION:
        raise CorruptRecord("a binding's version is the one no clock may reach")
    p = head
    put_u64(p, at + AT_VERSION, binding.version)
    put_u32(p, at + AT_EXPIRES, binding.expires)
    put_u32(p, at + AT_CSEQ, binding.cseq)
    put_u32(p, at + AT_METHODS, binding.methods)
    put_u32(p, at + AT_MODIFIED, binding.modified)
    put_u32(p, at + AT_REG_ID, binding.reg_id)
    put_u32(p, at + AT_STRINGS, size)
    put_u16(p, at + AT_Q, NO_Q if binding.q < 0 else binding.q)
    put_u16(p, at + AT_FLAGS, binding.flags)
    put_u16(p, at + AT_ORIGIN, binding.origin)
    field = at + AT_LENGTHS
    for text in (
        binding.contact,
        binding.received,
        binding.path,
        binding.socket,
        binding.call_id,
        binding.instance,
        binding.user_agent,
        binding.tag,
    ):
        length = len(text)
        if length > LONGEST_STRING:
            raise CorruptRecord("a string of a binding is longer than 65535 bytes")
        put_u16(p, field, length)
        pieces.append(text)
        field += 2
        size += length
    return size
