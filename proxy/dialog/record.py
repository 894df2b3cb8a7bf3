"""The bytes of one dialog's record, read and patched in place (layout.py says where what is)."""

from __future__ import annotations

import cython

from proxy.dialog.layout import (
    AT_BRANCH,
    AT_CREATED,
    AT_DID,
    AT_DUE,
    AT_EPOCH,
    AT_FLAGS,
    AT_INVITE_CSEQ,
    AT_LEGS,
    AT_LENGTH,
    AT_LENGTHS,
    AT_LIFETIME,
    AT_NODE,
    AT_OWNER,
    AT_STATE,
    AT_VERSION,
    DID_END,
    FORMAT,
    HEAD,
    LEG,
    LEG_ANSWERED,
    LEG_AT_STRINGS,
    LEG_CALLER_CSEQ,
    LEG_LENGTHS,
    LEG_STATE,
    LEG_STRINGS,
    LEG_TAG,
    STRINGS,
    UNITS_ACTIVE,
    UNITS_EARLY,
)
from proxy.dialog.states import State
from proxy.errors import CorruptRecord

if not cython.compiled:
    from proxy.shm.words import blank, fixed, get_u16, get_u32, get_u64, put_u16, put_u32, put_u64
    from proxy.sip.draft import put_bytes

    def joined(one: bytes, other: bytes) -> bytes:
        """Two texts with a NUL between them."""
        return one + b"\0" + other


EARLY = int(State.EARLY)
CONFIRMED_NA = int(State.CONFIRMED_NA)
CONFIRMED = int(State.CONFIRMED)
LAST_STATE = int(max(State))
LONGEST_STRING = 0xFFFF
HEX = b"0123456789abcdef"
NO_SDP = b""
DID_TEXT = 32  # bytes that the text of a did may have


def key_of(call_id: bytes, caller_tag: bytes) -> bytes:
    """The key of the dialogs that one caller's INVITE has set up."""
    return joined(call_id, caller_tag)


def units_of(state: int) -> int:
    """What a record in a state counts for in the table's gauges."""
    if state in (CONFIRMED, CONFIRMED_NA):
        return UNITS_ACTIVE
    return UNITS_EARLY if state == EARLY else 0


def is_sound(payload: bytes) -> bool:
    """Whether every length and offset of a record lies inside it."""
    p = payload
    size = len(payload)
    if size < HEAD or p[0] != FORMAT or get_u32(p, AT_LENGTH) != size:
        return False
    strings = HEAD + p[AT_LEGS] * LEG
    if strings > size or not 0 < p[AT_STATE] <= LAST_STATE:
        return False
    end = strings
    for field in range(STRINGS):
        end += get_u16(p, AT_LENGTHS + 2 * field)
    if end > size:
        return False
    at = HEAD
    while at < strings:
        end = strings + get_u32(p, at + LEG_AT_STRINGS)
        for field in range(LEG_STRINGS):
            end += get_u16(p, at + LEG_LENGTHS + 2 * field)
        if end > size or not 0 < p[at + LEG_STATE] <= LAST_STATE:
            return False
        at += LEG
    return True


def did_of(payload: bytes) -> bytes:
    """The 16 bytes that name the dialog everywhere and for ever."""
    p = payload
    return p[AT_DID:DID_END]


def did_text(payload: bytes) -> bytes:
    """The did as it travels in Record-Route: node, epoch and counter in hex."""
    p = payload
    if not cython.compiled:
        out = bytearray(DID_TEXT)
    at = put_hex(out, DID_TEXT, get_u64(p, AT_DID)) - 1
    out[at] = ord(".")
    at = put_hex(out, at, get_u32(p, AT_EPOCH)) - 1
    out[at] = ord(".")
    at = put_hex(out, at, get_u16(p, AT_NODE))
    text = out[at:DID_TEXT]
    return text if cython.compiled else bytes(text)  # type: ignore[return-value]


def put_hex(p: bytearray, end: int, value: int) -> int:
    """Write a number in hex so that it ends before `end`; where it begins."""
    digits = HEX
    while True:
        end -= 1
        p[end] = digits[value & 15]
        value >>= 4
        if value == 0:
            return end


def string(payload: bytes, field: int) -> bytes:
    """String number `field` of the dialog itself."""
    p = payload
    start = HEAD + p[AT_LEGS] * LEG
    for before in range(field):
        start += get_u16(p, AT_LENGTHS + 2 * before)
    return p[start : start + get_u16(p, AT_LENGTHS + 2 * field)]


def leg_string(payload: bytes, leg: int, field: int) -> bytes:
    """String number `field` of the leg whose header is at `leg`."""
    p = payload
    start = HEAD + p[AT_LEGS] * LEG + get_u32(p, leg + LEG_AT_STRINGS)
    for before in range(field):
        start += get_u16(p, leg + LEG_LENGTHS + 2 * before)
    return p[start : start + get_u16(p, leg + LEG_LENGTHS + 2 * field)]


def find_leg(payload: bytes, tag: bytes) -> int:
    """Where the header of the callee leg with this tag is, or -1."""
    p = payload
    t = tag
    length = len(tag)
    strings = HEAD + p[AT_LEGS] * LEG
    at = HEAD
    while at < strings:
        if get_u16(p, at + LEG_LENGTHS + 2 * LEG_TAG) == length:
            start = strings + get_u32(p, at + LEG_AT_STRINGS)
            index = 0
            while index < length and p[start + index] == t[index]:
                index += 1
            if index == length:
                return at
        at += LEG
    return -1


def begin(
    did: bytes,
    version: int,
    owner: int,
    now_ms: int,
    due: int,
    lifetime: int,
    flags: int,
    cseq: int,
    branch: int,
    strings: tuple[bytes, ...],
) -> bytes:
    """The record of an INVITE that is about to be sent on; its strings in the layout's order."""
    size = HEAD + checked_lengths(strings)
    record = blank(size)
    p = record
    p[0] = FORMAT
    p[AT_STATE] = 1
    put_bytes(p, AT_DID, did, 0, DID_END - AT_DID)
    put_u64(p, AT_VERSION, version)
    put_u64(p, AT_CREATED, now_ms)
    put_u32(p, AT_LIFETIME, lifetime)
    put_u32(p, AT_DUE, due)
    put_u32(p, AT_FLAGS, flags)
    put_u32(p, AT_INVITE_CSEQ, cseq)
    put_u32(p, AT_BRANCH, branch)
    put_u16(p, AT_OWNER, owner)
    put_u32(p, AT_LENGTH, size)
    at = AT_LENGTHS
    end = HEAD
    for text in strings:
        length = len(text)
        put_u16(p, at, length)
        put_bytes(p, end, text, 0, length)
        at += 2
        end += length
    return fixed(record)


def with_leg(
    payload: bytes,
    state: int,
    cseq: int,
    answered_ms: int,
    tag: bytes,
    contact: bytes,
    routes: bytes,
    socket: bytes,
    destination: bytes,
    reached: bytes,
) -> bytes:
    """The record with one more callee."""
    grown = grown_by_leg(
        payload, state, cseq, answered_ms, tag, contact, routes, socket, destination, reached
    )
    return fixed(grown)


def grown_by_leg(
    payload: bytes,
    state: int,
    cseq: int,
    answered_ms: int,
    tag: bytes,
    contact: bytes,
    routes: bytes,
    socket: bytes,
    destination: bytes,
    reached: bytes,
) -> bytearray:
    """The same, to be changed further."""
    p = payload
    legs = p[AT_LEGS]
    leg = HEAD + legs * LEG
    size = len(payload)
    strings = (tag, contact, routes, socket, destination, NO_SDP, reached)
    end = size + LEG + checked_lengths(strings)
    grown = blank(end)
    q = grown
    put_bytes(q, 0, payload, 0, leg)
    put_bytes(q, leg + LEG, payload, leg, size - leg)
    q[AT_LEGS] = legs + 1
    put_u32(q, AT_LENGTH, end)
    q[leg + LEG_STATE] = state
    put_u32(q, leg + LEG_CALLER_CSEQ, cseq)
    put_u64(q, leg + LEG_ANSWERED, answered_ms)
    put_u32(q, leg + LEG_AT_STRINGS, size - leg)
    at = leg + LEG_LENGTHS
    end = size + LEG
    for text in strings:
        length = len(text)
        put_u16(q, at, length)
        put_bytes(q, end, text, 0, length)
        at += 2
        end += length
    return grown


def with_string(payload: bytes, field: int, value: bytes) -> bytes:
    """The record with one string of the dialog itself replaced."""
    p = payload
    start = HEAD + p[AT_LEGS] * LEG
    for before in range(field):
        start += get_u16(p, AT_LENGTHS + 2 * before)
    return _replaced(payload, AT_LENGTHS + 2 * field, start, value)


def with_leg_string(payload: bytes, leg: int, field: int, value: bytes) -> bytes:
    """The record with one string of a leg replaced."""
    p = payload
    start = HEAD + p[AT_LEGS] * LEG + get_u32(p, leg + LEG_AT_STRINGS)
    for before in range(field):
        start += get_u16(p, leg + LEG_LENGTHS + 2 * before)
    return _replaced(payload, leg + LEG_LENGTHS + 2 * field, start, value)


def _replaced(payload: bytes, length_at: int, start: int, value: bytes) -> bytes:
    """Another string of another length; the strings of later legs move."""
    p = payload
    old = get_u16(p, length_at)
    size = len(payload)
    length = checked_length(value)
    grown = blank(size + length - old)
    q = grown
    put_bytes(q, 0, payload, 0, start)
    put_bytes(q, start, value, 0, length)
    put_bytes(q, start + length, payload, start + old, size - start - old)
    put_u16(q, length_at, length)
    put_u32(q, AT_LENGTH, size + length - old)
    strings = HEAD + p[AT_LEGS] * LEG
    at = HEAD
    while at < strings:
        offset = get_u32(p, at + LEG_AT_STRINGS)
        # an empty string moves nothing that begins where it stands
        if strings + offset > start or (strings + offset == start and length_at < at):
            put_u32(q, at + LEG_AT_STRINGS, offset + length - old)
        at += LEG
    return fixed(grown)


def checked_lengths(strings: tuple[bytes, ...]) -> int:
    """The length of some strings together, each of which a record can hold."""
    size = 0
    for text in strings:
        size += len(text)
    if size > LONGEST_STRING:
        for text in strings:
            checked_length(text)
    return size


def checked_length(text: bytes) -> int:
    """The length of a string that a record can hold."""
    length = len(text)
    if length > LONGEST_STRING:
        raise CorruptRecord("a string of a dialog is longer than 65535 bytes")
    return length
