"""What two nodes make of the dialogs of one INVITE: of two records the one that knows more (R11).

A record travels as it is stored (layout.py): nothing in it belongs to one node alone. One that has
ended for good is buried: its head stays, so that nobody takes the call for a live one or writes its
call detail record again, until no node can be without that news.

Of two records under one key that of the later INVITE wins; a did has one moment of creation. Of
one INVITE that wins which says most for certain: that the call detail record has been written, that
it is about to be, that somebody has answered. What is left is decided by version and node, as
everywhere. So a node that was cut off while it rang cannot unmake the call that another one has
connected.
"""

from __future__ import annotations

from zlib import crc32

import cython

from proxy.cluster.form import Form
from proxy.dialog.layout import (
    AT_ANSWERED,
    AT_CREATED,
    AT_DUE,
    AT_FLAGS,
    AT_LEGS,
    AT_LENGTH,
    AT_LENGTHS,
    AT_NODE,
    AT_OWNER,
    AT_PROFILES,
    AT_STATE,
    AT_VERSION,
    HEAD,
    NEVER,
    SEALED,
    STRINGS,
    WRITTEN,
)
from proxy.dialog.record import did_of
from proxy.dialog.soundness import is_plausible_key, is_plausible_record
from proxy.dialog.states import State
from proxy.shm.mixing import mix

if not cython.compiled:
    from proxy.shm.words import get_u16, get_u32, get_u64, put_u16, put_u32

DELETED = int(State.DELETED)
NO_DUE = NEVER
CLOSED = SEALED | WRITTEN


def buried(payload: bytes) -> bytearray:
    """The draft of what stays of an ended dialog: which it was, and that nothing is left to do."""
    draft = bytearray(payload[:HEAD])
    p = draft
    p[AT_LEGS] = 0
    p[AT_PROFILES] = 0
    put_u32(p, AT_LENGTH, HEAD)
    put_u32(p, AT_DUE, NO_DUE)
    put_u32(p, AT_FLAGS, get_u32(p, AT_FLAGS) | CLOSED)
    for field in range(STRINGS):
        put_u16(p, AT_LENGTHS + 2 * field, 0)
    return draft


def is_buried(payload: bytes) -> bool:
    """Whether nothing is left to do for a dialog but to remember that it has ended."""
    p = payload
    return p[AT_STATE] == DELETED and get_u32(p, AT_FLAGS) & WRITTEN != 0


def is_newer(theirs: bytes, ours: bytes) -> bool:
    """Whether their record of a key wins over ours."""
    left = get_u64(theirs, AT_CREATED)
    right = get_u64(ours, AT_CREATED)
    if left != right:
        return left > right
    did = did_of(theirs)
    our_did = did_of(ours)
    if did != our_did:
        return did > our_did
    left = certainty(theirs)
    right = certainty(ours)
    if left != right:
        return left > right
    left = get_u64(theirs, AT_VERSION)
    right = get_u64(ours, AT_VERSION)
    if left != right:
        return left > right
    left = get_u16(theirs, AT_OWNER)
    right = get_u16(ours, AT_OWNER)
    if left != right:
        return left > right
    return theirs > ours


def certainty(payload: bytes) -> int:
    """How much is certain of a dialog: none of it is ever taken back by the node that said it."""
    flags = get_u32(payload, AT_FLAGS)
    known = 4 if flags & WRITTEN else 0
    if flags & SEALED:
        known += 2
    return known + (get_u64(payload, AT_ANSWERED) > 0)


class DialogForm(Form):
    """How the records of the dialog table are read and merged between nodes."""

    def names(self, key: bytes) -> bool:
        """Whether these bytes can be Call-ID and tag."""
        return is_plausible_key(key)

    def sound(self, body: bytes) -> bool:
        """Whether these bytes can be a record; what is buried has an end and nothing else."""
        if not is_plausible_record(body) or get_u64(body, AT_VERSION) == 0:
            return False
        if get_u16(body, AT_OWNER) == 0 or get_u16(body, AT_NODE) == 0:
            return False
        flags = get_u32(body, AT_FLAGS)
        if flags & WRITTEN:
            return flags & SEALED != 0 and is_buried(body) and len(body) == HEAD
        return flags & SEALED == 0 or body[AT_STATE] == DELETED

    def newest(self, body: bytes) -> int:
        """The version."""
        return get_u64(body, AT_VERSION)

    def look(self, body: bytes) -> int:
        """What is live in it, and what has ended."""
        told = crc32(body)
        version = get_u64(body, AT_VERSION)
        stamp = mix(mix(version ^ told) ^ get_u16(body, AT_OWNER) ^ told)
        ended = body[AT_STATE] == DELETED
        self.live = 0 if ended else stamp
        self.dead = stamp if ended else 0
        return 0

    def merge(self, ours: bytes, theirs: bytes) -> bytes:
        """The winner; `ours` itself when they are equal."""
        return theirs if is_newer(theirs, ours) else ours

    def prune(self, body: bytes, me: int, now_s: int, grace_s: int, before: int) -> bytes | None:
        """The record, or None when it is buried and every node knows.

        A call whose lifetime is over is not dropped but ended, by the node that acts for it.
        """
        return None if is_buried(body) and get_u64(body, AT_VERSION) < before else body
