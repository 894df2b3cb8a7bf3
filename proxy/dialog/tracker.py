"""Makes dialogs of INVITEs and finds them for later messages.

A dialog is found by Call-ID and tags, seen from either end, in at most two look-ups; the did that
came by Record-Route says whether it is really that one. (OpenSIPS: DID_FALLBACK.)
"""

from __future__ import annotations

import cython

from proxy.dialog.dialog import Dialog, make_dialog
from proxy.dialog.layout import (
    AT_ANSWERED,
    AT_BRANCH,
    AT_CREATED,
    AT_FLAGS,
    AT_INVITE_CSEQ,
    AT_STATE,
    REFUSED,
    SEALED,
    WRITTEN,
)
from proxy.dialog.record import begin, did_of, did_text, find_leg, is_sound, key_of
from proxy.dialog.route_set import routes_to_caller, target_of
from proxy.dialog.states import State
from proxy.dialog.store import DialogStore, version_of
from proxy.limits.bounds import DIALOG_URI_BYTES
from proxy.limits.counters import DIALOGS_UNTRACKED, PROCESSED_DIALOGS
from proxy.shm.mixing import fnv1a, mix
from proxy.sip.message import Message

if not cython.compiled:
    from proxy.shm.words import get_u32, get_u64
    from proxy.sip.grammar import cut

CONFIRMED = int(State.CONFIRMED)
DELETED = int(State.DELETED)
URI_BYTES = DIALOG_URI_BYTES
NOTHING = b""
COOKIE = b"z9hG4bK"
LOW = 0xFFFFFFFF  # a literal as large would be a Python number when compiled
ATTEMPTS = 8


class Tracker:
    """The dialogs of the calls that one process carries."""

    def __init__(self, store: DialogStore) -> None:
        self.store = store

    def create(
        self,
        invite: Message,
        socket: bytes,
        flags: int = 0,
        lifetime: int = 0,
        source: bytes = NOTHING,
        reached: bytes = NOTHING,
        tag: bytes = NOTHING,
    ) -> Dialog | None:
        """The dialogs that an initial INVITE is about to set up; None when the table is full.

        `source` is where it came from, `reached` where the caller is if not where its Contact says.
        The same INVITE again, in a worker that replaced its own, gets the dialog it has already; if
        that has failed meanwhile, it begins anew under its did. Any other INVITE is a call of its
        own, whatever its sender calls it: also a second branch of one that was forked before us.
        """
        store = self.store
        key = key_of(invite.call_id, invite.from_tag)
        branch = self.branch_hash(invite.branch, invite.request_uri)
        for _ in range(ATTEMPTS):
            did = store.new_did()
            beside = False
            payload, stamp = store.read(key)
            if payload is not None:
                if is_same(payload, invite.cseq, branch):
                    if payload[AT_STATE] != DELETED:
                        return make_dialog(store, key, payload, stamp)
                    did = did_of(payload)
                elif payload[AT_STATE] != DELETED:
                    beside = True  # nobody may take the place of a call that goes on
                    stamp = 0
                elif get_u32(payload, AT_FLAGS) & WRITTEN:
                    pass  # nothing of it is needed any more
                elif self._put_aside(key, payload, stamp):
                    stamp = 0
                else:
                    break
            made = self._begun(
                invite, did, payload, branch, socket, flags, lifetime, source, reached, tag
            )
            place = key + b"\0" + did_text(made) if beside else key
            stamp = store.write(place, stamp, made)
            if stamp > REFUSED:
                store.counters.add(PROCESSED_DIALOGS, 1)
                return make_dialog(store, place, made, stamp)
            if stamp:
                break
        store.counters.add(DIALOGS_UNTRACKED, 1)
        return None

    def find(self, message: Message, did: bytes = NOTHING) -> Dialog | None:
        """The dialog that a message with both tags belongs to, as its sender sees it.

        With a `did` that dialog or none.
        """
        if not message.to_tag:
            return None
        found = self._leg_of(message, message.from_tag, message.to_tag, True, did)
        if found is None:
            found = self._leg_of(message, message.to_tag, message.from_tag, False, did)
        return found

    def of_invite(self, message: Message, branch: bytes, did: bytes = NOTHING) -> Dialog | None:
        """The dialogs of the INVITE that came with `branch`, or with what has this did.

        For a response to it, or for it again when it comes back to us; None for any other.
        """
        key = key_of(message.call_id, message.from_tag)
        payload, stamp = self.store.read(key)
        if did and (payload is None or did_text(payload) != did):
            key = key + b"\0" + did
            payload, stamp = self.store.read(key)
        if payload is None or get_u32(payload, AT_INVITE_CSEQ) != message.cseq:
            return None
        if not did and get_u32(payload, AT_BRANCH) != self.branch_hash(branch, NOTHING):
            return None
        return make_dialog(self.store, key, payload, stamp)

    def branch_hash(self, branch: bytes, request_uri: bytes) -> int:
        """What tells an INVITE from others under the same Call-ID and tag.

        The same on every node, so that another one knows the INVITE again. Telephones of RFC 2543
        do not number their branches, but then they do not fork either.
        """
        if not branch.startswith(COOKIE):
            branch = request_uri
        return mix(fnv1a(branch, 0)) & LOW

    def open(self, key: bytes) -> Dialog | None:
        """The dialogs under a key."""
        payload, stamp = self.store.read(key)
        return None if payload is None else make_dialog(self.store, key, payload, stamp)

    def discard(self, key: bytes) -> bool:
        """Remove a record that makes no sense."""
        payload, stamp = self.store.table.snapshot(key)
        if payload is None or is_sound(payload):
            return False
        return self.store.remove(key, stamp)

    def is_live(self, did: bytes, hash32: int) -> bool:
        """Whether a dialog with these 16 bytes, and with that hash of its key, has not ended."""
        for _, payload, _ in self.store.table.alike(hash32):
            if did_of(payload) == did and payload[AT_STATE] != DELETED:
                return True
        return False

    def _begun(
        self,
        invite: Message,
        did: bytes,
        before: bytes | None,
        branch: int,
        socket: bytes,
        flags: int,
        lifetime: int,
        source: bytes,
        reached: bytes,
        tag: bytes,
    ) -> bytes:
        """The record of an INVITE, on every node newer than `before`, whose place it takes.

        One that begins anew under its did was created when it first began (replica.py).
        """
        store = self.store
        rules = store.rules
        floor = 0
        created = store.wall_ms
        if before is not None:
            floor = version_of(before)
            if did_of(before) == did:
                created = get_u64(before, AT_CREATED)
            elif get_u64(before, AT_CREATED) >= created:
                created = get_u64(before, AT_CREATED) + 1
        return begin(
            did,
            store.clock.tick(store.wall_ms, floor),
            rules.node,
            created,
            store.wall + rules.setup_seconds,
            lifetime or rules.default_timeout,
            flags,
            invite.cseq,
            branch,
            (
                at_most(cut(invite.data, invite.from_at[2], invite.from_at[3])),
                at_most(cut(invite.data, invite.to_at[2], invite.to_at[3])),
                target_of(invite),
                routes_to_caller(invite),
                socket,
                tag or rules.tag,
                NOTHING,
                NOTHING,
                source,
                NOTHING,
                reached,
                NOTHING,
                NOTHING,
            ),
        )

    def _leg_of(
        self,
        message: Message,
        caller_tag: bytes,
        callee_tag: bytes,
        from_caller: bool,
        did: bytes,
    ) -> Dialog | None:
        key = key_of(message.call_id, caller_tag)
        payload, stamp = self.store.read(key)
        if did and (payload is None or did_text(payload) != did):
            key = key + b"\0" + did
            payload, stamp = self.store.read(key)
        if payload is None:
            return None
        leg = find_leg(payload, callee_tag)
        if leg < 0:
            return None
        found = make_dialog(self.store, key, payload, stamp)
        found.leg = leg
        found.from_caller = from_caller
        return found

    def _put_aside(self, key: bytes, payload: bytes, stamp: int) -> bool:
        """The caller tries again with the same Call-ID and tag (§8.1.3.5), after a 407 perhaps.

        What there was before has ended. It gets a key of its own, under which its time runs out. A
        death in between leaves it twice, under one did. False when there is no room for both: a
        record that is to be written in the end must not get lost.
        """
        store = self.store
        aside = store.write(key + b"\0" + did_text(payload), 0, payload)
        return aside != REFUSED and store.remove(key, stamp)


def is_same(payload: bytes, cseq: int, branch: int) -> bool:
    """Whether a record is that of this very INVITE, which has been sent again.

    Who has acknowledged the answer does not send it again; and a record that has been answered or
    is being written stands for a call that has been.
    """
    p = payload
    if get_u32(p, AT_BRANCH) != branch or get_u32(p, AT_INVITE_CSEQ) != cseq:
        return False
    if p[AT_STATE] == CONFIRMED:
        return False
    if p[AT_STATE] != DELETED:
        return True
    return get_u64(p, AT_ANSWERED) == 0 and not get_u32(p, AT_FLAGS) & SEALED


def at_most(uri: bytes) -> bytes:
    """A URI, cut off where it is longer than a record keeps."""
    return uri if len(uri) <= URI_BYTES else uri[:URI_BYTES]
