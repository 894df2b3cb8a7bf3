"""What two nodes make of one AoR: all bindings of both, and of each binding the newer state (R11).

The record travels as it is stored (layout.py). A binding that was removed stays as its tombstone:
flag REMOVED, expires 1 so that nobody takes it for live, the strings that name it and no others,
and the version of its removal. One whose contact is `*` stands for all bindings there were, also
for those that its node has never heard of: whatever has a lower version goes.
"""

from __future__ import annotations

import cython

from proxy.cluster.form import Form
from proxy.registrar.layout import (
    ALL_CONTACTS,
    AT_CSEQ,
    AT_EXPIRES,
    AT_FLAGS,
    AT_LENGTHS,
    AT_ORIGIN,
    AT_REG_ID,
    AT_STRINGS,
    BINDING,
    BRIEF,
    CONTACT,
    FORMAT,
    HEAD,
    INSTANCE,
    REMOVED,
    STRINGS,
)
from proxy.registrar.record import binding_count, string
from proxy.shm.mixing import fnv1a, fnv1a_part, hash_words, mix
from proxy.sip.draft import Draft

if not cython.compiled:
    from proxy.shm.words import get_u16, get_u32, get_u64, put_u32, put_u64

# A brief record is its head, its bindings and the hash of its strings. Most changes are refreshes,
# and a refresh leaves the strings as they are.
HASH = 8
MOST_BINDINGS = 255
MOST_BYTES = 60_000  # a table's slot holds little more
_draft = Draft()
ALL = 0xFFFF_FFFF_FFFF_FFFF  # a literal as large would be a Python number when compiled


def identity(payload: bytes, at: int) -> bytes:
    """What makes two bindings one: the flow (RFC 5626 §6), else the contact (RFC 3261 §10.3-7)."""
    reg_id = get_u32(payload, at + AT_REG_ID)
    if reg_id == 0:
        return string(payload, at, CONTACT)
    return string(payload, at, INSTANCE).lower() + b"\0%d" % reg_id


def binding_stamp(payload: bytes, at: int) -> int:
    """The stamp of one binding: changes whenever its version does, the same on every node.

    A node that lost its tables and whose clock went back may give a version twice, so the numbers
    that differ between two REGISTERs are in it as well.
    """
    if get_u32(payload, at + AT_REG_ID):
        value = fnv1a(identity(payload, at), 0)
    else:
        start = get_u32(payload, at + AT_STRINGS)
        value = fnv1a_part(payload, start, start + get_u16(payload, at + AT_LENGTHS), 0)
    told = get_u32(payload, at + AT_EXPIRES)
    told = told << 32 | get_u32(payload, at + AT_CSEQ)
    version = get_u64(payload, at)
    return mix(mix(version ^ value ^ mix(told)) ^ get_u16(payload, at + AT_ORIGIN) ^ value)


def is_newer(theirs: bytes, at: int, ours: bytes, our_at: int) -> bool:
    """Whether their state of a binding wins over ours."""
    left = get_u64(theirs, at)
    right = get_u64(ours, our_at)
    if left != right:
        return left > right
    origin = get_u16(theirs, at + AT_ORIGIN)
    our_origin = get_u16(ours, our_at + AT_ORIGIN)
    if origin != our_origin:
        return origin > our_origin
    return _rest(theirs, at) > _rest(ours, our_at)


def _rest(payload: bytes, at: int) -> tuple[bool, bytes, bytes]:
    """What decides between two states of one version, which only a fault can have made."""
    removed = get_u16(payload, at + AT_FLAGS) & REMOVED != 0
    head = payload[at : at + AT_STRINGS] + payload[at + AT_STRINGS + 4 : at + BINDING]
    return removed, head, _strings(payload, at)


def _strings(payload: bytes, at: int) -> bytes:
    start = get_u32(payload, at + AT_STRINGS)
    size = 0
    for field in range(STRINGS):
        size += get_u16(payload, at + AT_LENGTHS + 2 * field)
    return payload[start : start + size]


def merge(ours: bytes, theirs: bytes) -> bytes:
    """Every binding of both records in its newer state; `ours` itself when none of theirs is."""
    if binding_count(ours) < 0:
        return theirs
    count = binding_count(theirs)
    if count < 0:
        return ours
    chosen: dict[bytes, tuple[bytes, int]] = {}
    for index in range(binding_count(ours)):
        _choose(chosen, ours, HEAD + index * BINDING)
    news = 0
    for index in range(count):
        news += _choose(chosen, theirs, HEAD + index * BINDING)
    if news == 0:
        return ours
    if ALL_CONTACTS in chosen:
        return _without_removed(chosen, ours, theirs)
    if news == count == len(chosen):
        return theirs
    return _assemble(chosen)


def _without_removed(chosen: dict[bytes, tuple[bytes, int]], ours: bytes, theirs: bytes) -> bytes:
    """The record of what the tombstone of all bindings leaves."""
    everything, everything_at = chosen[ALL_CONTACTS]
    if get_u16(everything, everything_at + AT_FLAGS) & REMOVED:
        for name in list(chosen):
            payload, at = chosen[name]
            if name != ALL_CONTACTS and precedes(payload, at, everything, everything_at):
                del chosen[name]
    from_ours = 0
    for payload, _ in chosen.values():
        from_ours += payload is ours
    if from_ours == len(chosen) == binding_count(ours):
        return ours
    if from_ours == 0 and len(chosen) == binding_count(theirs):
        return theirs
    return _assemble(chosen)


def precedes(payload: bytes, at: int, other: bytes, other_at: int) -> bool:
    """Whether a binding has a lower version than another one, origins deciding between equals."""
    left = get_u64(payload, at)
    right = get_u64(other, other_at)
    if left != right:
        return left < right
    return get_u16(payload, at + AT_ORIGIN) < get_u16(other, other_at + AT_ORIGIN)


def _choose(chosen: dict[bytes, tuple[bytes, int]], payload: bytes, at: int) -> bool:
    name = identity(payload, at)
    held = chosen.get(name)
    if held is not None and not is_newer(payload, at, held[0], held[1]):
        return False
    chosen[name] = (payload, at)
    return True


def _assemble(chosen: dict[bytes, tuple[bytes, int]]) -> bytes:
    """The record of these bindings; of more than a record holds, the live and the newest."""
    names = sorted(chosen)
    if _fitting(chosen, names) < len(names):
        names.sort(key=lambda name: _wantedness(*chosen[name]), reverse=True)
        names = sorted(names[: _fitting(chosen, names)])
    return record_of([chosen[name] for name in names])


def _fitting(chosen: dict[bytes, tuple[bytes, int]], names: list[bytes]) -> int:
    """How many of them, from the first on, fit into one record; one always does."""
    size = HEAD
    for number, name in enumerate(names):
        payload, at = chosen[name]
        size += BINDING + len(_strings(payload, at))
        if number == MOST_BINDINGS or (number and size > MOST_BYTES):
            return number
    return len(names)


def _wantedness(payload: bytes, at: int) -> tuple[bool, int, int]:
    live = get_u16(payload, at + AT_FLAGS) & REMOVED == 0 or identity(payload, at) == ALL_CONTACTS
    return live, get_u64(payload, at), get_u16(payload, at + AT_ORIGIN)


def record_of(bindings: list[tuple[bytes, int]]) -> bytes:
    """The record of bindings cut from others: (record, where in it)."""
    count = len(bindings)
    head = bytearray(HEAD + count * BINDING)
    pieces = [b""]
    size = len(head)
    to = HEAD
    for payload, at in bindings:
        head[to : to + BINDING] = payload[at : at + BINDING]
        text = _strings(payload, at)
        put_u32(head, to + AT_STRINGS, size)
        pieces.append(text)
        size += len(text)
        to += BINDING
    head[0] = FORMAT
    head[1] = count
    put_u32(head, 4, size)
    pieces[0] = bytes(head)
    return b"".join(pieces)


def _is_sound_brief(body: bytes) -> bool:
    p = body
    size = len(body)
    if size < HEAD + BINDING + HASH or get_u32(p, 4) != size:
        return False
    if size != HEAD + p[1] * BINDING + HASH:
        return False
    for index in range(p[1]):
        version = get_u64(p, HEAD + index * BINDING)
        if version == 0 or version == ALL:
            return False
    return True


class BindingsForm(Form):
    """How the records of the location table are read and merged between nodes."""

    def sound(self, body: bytes) -> bool:
        """Whether these bytes can be a record, each of its bindings with version, origin and name.

        The name is the contact, the first of the strings, unless there is a reg-id.
        """
        if len(body) > 0 and body[0] == BRIEF:
            return _is_sound_brief(body)
        count = binding_count(body)
        for index in range(count):
            at = HEAD + index * BINDING
            if get_u64(body, at) == 0 or get_u16(body, at + AT_ORIGIN) == 0:
                return False
            if get_u32(body, at + AT_REG_ID) == 0 and get_u16(body, at + AT_LENGTHS) == 0:
                return False
        return count > 0

    def newest(self, body: bytes) -> int:
        """The highest version of its bindings."""
        p = body
        highest = 0
        for index in range(p[1]):
            version = get_u64(body, HEAD + index * BINDING)
            if version > highest:
                highest = version
        return highest

    def look(self, body: bytes) -> int:
        """64-bit sums over its live bindings and over its tombstones."""
        live = 0
        dead = 0
        for index in range(binding_count(body)):
            at = HEAD + index * BINDING
            if get_u16(body, at + AT_FLAGS) & REMOVED:
                dead = (dead + binding_stamp(body, at)) & ALL
            else:
                live = (live + binding_stamp(body, at)) & ALL
        self.live = live
        self.dead = dead
        return 0

    def rest(self, body: bytes) -> int:
        """The hash of the strings."""
        p = body
        return hash_words(body, HEAD + p[1] * BINDING)

    def brief(self, body: bytes, rest: int) -> bytes:
        """The record with the hash in place of the strings."""
        p = body
        end = HEAD + p[1] * BINDING
        draft = _draft
        draft.begin()
        draft.add_part(body, 0, end)
        draft.add_part(body, 0, HASH)  # room for it
        q = draft.room
        q[0] = BRIEF
        put_u32(q, 4, end + HASH)
        put_u64(q, end, rest)
        return draft.take()

    def restored(self, body: bytes, ours: bytes | None) -> bytes | None:
        """The record, with our strings if it came without any and they are the same."""
        if body[0] != BRIEF:
            return body
        end = len(body) - HASH
        if ours is None or binding_count(ours) != body[1]:
            return None
        if get_u64(body, end) != hash_words(ours, end):
            return None
        draft = _draft
        draft.begin()
        draft.add_part(body, 0, end)
        draft.add_part(ours, end, len(ours))
        q = draft.room
        q[0] = FORMAT
        put_u32(q, 4, len(ours))
        whole = draft.take()
        return whole if self.sound(whole) else None

    def merge(self, ours: bytes, theirs: bytes) -> bytes:
        """Every binding of both in its newer state; `ours` itself when none of theirs is."""
        return merge(ours, theirs)

    def prune(self, body: bytes, me: int, now_s: int, grace_s: int, before: int) -> bytes | None:
        """The record without bindings that ran out and without tombstones below `before`.

        A binding that another node registered runs out `grace_s` later than by our clock.
        """
        count = binding_count(body)
        over = 0
        for index in range(count):
            over += _is_over(body, HEAD + index * BINDING, me, now_s, grace_s, before)
        if over == 0 and count > 0:
            return body
        kept: list[tuple[bytes, int]] = []
        for index in range(count):
            at = HEAD + index * BINDING
            if not _is_over(body, at, me, now_s, grace_s, before):
                kept.append((body, at))
        return record_of(kept) if kept else None


def _is_over(payload: bytes, at: int, me: int, now_s: int, grace_s: int, before: int) -> bool:
    if get_u16(payload, at + AT_FLAGS) & REMOVED:
        return get_u64(payload, at) < before
    expires = get_u32(payload, at + AT_EXPIRES)
    if expires == 0:
        return False
    return expires + (0 if get_u16(payload, at + AT_ORIGIN) == me else grace_s) <= now_s
