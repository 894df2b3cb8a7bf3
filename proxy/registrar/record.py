"""The bytes of one AoR record, read and patched in place (layout.py says where what is)."""

from __future__ import annotations

import cython

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
    CONTACT,
    FORMAT,
    HEAD,
    INSTANCE,
    LAST_VERSION,
    NEVER,
    NO_Q,
    REMOVED,
    REMOVED_S,
    STRINGS,
)
from proxy.shm.layout import NOBODY
from proxy.sip.draft import Draft

if not cython.compiled:
    from proxy.shm.words import get_u16, get_u32, get_u64, put_u16, put_u32, put_u64
    from proxy.sip.grammar import same_text

_draft = Draft()


def binding_count(payload: bytes) -> int:
    """How many bindings the record holds, or -1 when it is not a sound record."""
    p = payload
    size = len(payload)
    if size < HEAD or p[0] != FORMAT or get_u32(p, 4) != size:
        return -1
    count = p[1]
    strings = HEAD + count * BINDING
    if count == 0 or strings > size:
        return -1
    at = HEAD
    while at < strings:
        start = get_u32(p, at + AT_STRINGS)
        end = start
        for field in range(STRINGS):
            end += get_u16(p, at + AT_LENGTHS + 2 * field)
        if start < strings or end > size or get_u64(p, at) == LAST_VERSION:
            return -1
        at += BINDING
    return count


def string_at(p: bytes, at: int, field: int) -> int:
    """Where string number `field` of the binding at `at` starts."""
    start = get_u32(p, at + AT_STRINGS)
    for before in range(field):
        start += get_u16(p, at + AT_LENGTHS + 2 * before)
    return start


def string(payload: bytes, at: int, field: int) -> bytes:
    """String number `field` of the binding whose header is at `at`, in a sound record."""
    p = payload
    start = string_at(p, at, field)
    return p[start : start + get_u16(p, at + AT_LENGTHS + 2 * field)]


def add_string(draft: Draft, payload: bytes, at: int, field: int) -> None:
    """Write that string."""
    p = payload
    start = string_at(p, at, field)
    draft.add_part(payload, start, start + get_u16(p, at + AT_LENGTHS + 2 * field))


def same_string(payload: bytes, at: int, field: int, value: bytes) -> bool:
    """Whether that string is `value`."""
    p = payload
    length = get_u16(p, at + AT_LENGTHS + 2 * field)
    if length != len(value):
        return False
    if length == 0:
        return True
    start = string_at(p, at, field)
    return same_text(p, start, start + length, value)


def is_live(payload: bytes, at: int, now: int) -> bool:
    """Whether the binding at `at` still holds at `now`; expiry 0 is for ever."""
    expires = get_u32(payload, at + AT_EXPIRES)
    return expires == 0 or expires > now


def find_contact(payload: bytes, count: int, contact: bytes) -> int:
    """Where the header of the binding with exactly this contact starts, or -1."""
    at = HEAD
    for _ in range(count):
        if same_string(payload, at, CONTACT, contact):
            return at
        at += BINDING
    return -1


def due_at(payload: bytes, count: int) -> int:
    """When to look at the record again: its first binding runs out, or a tombstone may go.

    NEVER when nothing in it does.
    """
    p = payload
    earliest = NEVER
    at = HEAD
    for _ in range(count):
        expires = get_u32(p, at + AT_EXPIRES)
        if get_u16(p, at + AT_FLAGS) & REMOVED:
            removed = (get_u64(p, at + AT_VERSION) >> 16) // 1000 + REMOVED_S
            expires = removed if removed < NEVER else NEVER
        if expires != 0 and expires < earliest:
            earliest = expires
        at += BINDING
    return earliest


def is_removed(payload: bytes, at: int) -> bool:
    """Whether the binding at `at` is a tombstone."""
    return get_u16(payload, at + AT_FLAGS) & REMOVED != 0


def units_of(payload: bytes, count: int) -> int:
    """What the record counts for in the table: its bindings, or NOBODY if all are tombstones."""
    units = 0
    at = HEAD
    for _ in range(count):
        units += not is_removed(payload, at)
        at += BINDING
    return units if units else NOBODY


def patched(
    payload: bytes,
    at: int,
    version: int,
    expires: int,
    cseq: int,
    modified: int,
    methods: int,
    q: int,
    origin: int,
) -> bytes:
    """The record with the fixed fields of one binding replaced: a plain refresh."""
    draft = _draft
    draft.begin()
    draft.add(payload)
    p = draft.room
    put_u64(p, at + AT_VERSION, version)
    put_u32(p, at + AT_EXPIRES, expires)
    put_u32(p, at + AT_CSEQ, cseq)
    put_u32(p, at + AT_METHODS, methods)
    put_u32(p, at + AT_MODIFIED, modified)
    put_u16(p, at + AT_Q, NO_Q if q < 0 else q)
    put_u16(p, at + AT_ORIGIN, origin)
    return draft.take()


def highest_version(payload: bytes, count: int) -> int:
    """The floor under the version of the next change of this record."""
    p = payload
    highest = 0
    at = HEAD + AT_VERSION
    for _ in range(count):
        version = get_u64(p, at)
        if version > highest:
            highest = version
        at += BINDING
    return highest


def live_count(payload: bytes, count: int, now: int) -> int:
    """How many bindings still hold."""
    live = 0
    for index in range(count):
        live += is_live(payload, HEAD + index * BINDING, now)
    return live


def contact_lines(payload: bytes, count: int, now: int) -> bytes:
    """The Contact lines of a 200: every live binding with what is left of its time."""
    draft = _draft
    draft.begin()
    at = HEAD
    for _ in range(count):
        if is_live(payload, at, now):
            add_contact_line(draft, payload, at, now)
        at += BINDING
    return draft.take()


def add_contact_line(draft: Draft, payload: bytes, at: int, now: int) -> None:
    """Write one binding's Contact line."""
    p = payload
    expires = get_u32(p, at + AT_EXPIRES)
    draft.add(b"Contact: <")
    add_string(draft, payload, at, CONTACT)
    q = get_u16(p, at + AT_Q)
    if q == NO_Q:
        draft.add(b">;expires=")
    else:
        draft.add(b">;q=")
        draft.add(q_text(q))
        draft.add(b";expires=")
    # A permanent binding has no time left to tell; RFC 3261 §10.3-8 wants a number all the same.
    left = 3600 if expires == 0 else expires - now
    draft.add_number(left)
    if get_u16(p, at + AT_LENGTHS + 2 * INSTANCE):
        draft.add(b';+sip.instance="')
        add_string(draft, payload, at, INSTANCE)
        draft.add(b'"')
        reg_id = get_u32(p, at + AT_REG_ID)
        if reg_id:
            draft.add(b";reg-id=")
            draft.add_number(reg_id)
    draft.add(b"\r\n")


def q_text(q: int) -> bytes:
    """A q of thousandths as RFC 3261 writes it: 0, 0.5, 0.125, 1."""
    if q >= 1000:
        return b"1"
    if q <= 0:
        return b"0"
    return b"0." + str(1000 + q)[1:].rstrip("0").encode()
