"""Makes dialogs of INVITEs and finds them for later messages.

A dialog is found by Call-ID and tags, seen from either end, in at most two look-ups; the did that
came by Record-Route says whether it is really that one. (OpenSIPS: DID_FALLBACK.)
"""

from __future__ import annotations

from proxy.dialog.dialog import Dialog, make_dialog
from proxy.dialog.layout import AT_INVITE_CSEQ, AT_STATE, REFUSED
from proxy.dialog.record import begin, did_of, find_leg, is_sound, key_of
from proxy.dialog.route_set import routes_to_caller, target_of
from proxy.dialog.states import EndReason, Event, State
from proxy.dialog.store import DialogStore
from proxy.limits.bounds import DIALOG_URI_BYTES
from proxy.limits.counters import DIALOGS_UNTRACKED, PROCESSED_DIALOGS
from proxy.shm.words import get_u32
from proxy.sip.message import Message

DELETED = int(State.DELETED)
GONE = int(Event.GONE)
REPLACED = int(EndReason.REPLACED)
URI_BYTES = DIALOG_URI_BYTES
NOTHING = b""
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
        source: bytes = b"",
    ) -> Dialog | None:
        """The dialogs that an initial INVITE is about to set up; None when the table is full.

        The same INVITE again, in a worker that replaced its own, gets the dialog it has already.
        """
        store = self.store
        rules = store.rules
        key = key_of(invite.call_id, invite.from_tag)
        for _ in range(ATTEMPTS):
            payload, stamp = store.read(key)
            if payload is not None:
                cseq = get_u32(payload, AT_INVITE_CSEQ)
                if cseq == invite.cseq:
                    return make_dialog(store, key, payload, stamp)
                if cseq > invite.cseq or not self._put_aside(key, payload, stamp):
                    break
            made = begin(
                store.new_did(),
                store.clock.tick(store.wall_ms, 0),
                rules.node,
                store.wall_ms,
                store.wall + rules.setup_seconds,
                lifetime or rules.default_timeout,
                flags,
                invite.cseq,
                (
                    at_most(invite.from_uri),
                    at_most(invite.to_uri),
                    target_of(invite),
                    routes_to_caller(invite),
                    socket,
                    rules.tag,
                    NOTHING,
                    NOTHING,
                    source,
                    NOTHING,
                ),
            )
            stamp = store.write(key, 0, made)
            if stamp > REFUSED:
                store.counters.add(PROCESSED_DIALOGS, 1)
                return make_dialog(store, key, made, stamp)
            if stamp:
                break
        store.counters.add(DIALOGS_UNTRACKED, 1)
        return None

    def find(self, message: Message) -> Dialog | None:
        """The dialog that a message with both tags belongs to, as its sender sees it."""
        if not message.to_tag:
            return None
        found = self._leg_of(message, message.from_tag, message.to_tag, True)
        if found is None:
            found = self._leg_of(message, message.to_tag, message.from_tag, False)
        return found

    def of_response(self, response: Message) -> Dialog | None:
        """The dialogs that a response to an initial INVITE belongs to; None for any other."""
        key = key_of(response.call_id, response.from_tag)
        payload, stamp = self.store.read(key)
        if payload is None or get_u32(payload, AT_INVITE_CSEQ) != response.cseq:
            return None
        return make_dialog(self.store, key, payload, stamp)

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

    def _leg_of(
        self, message: Message, caller_tag: bytes, callee_tag: bytes, from_caller: bool
    ) -> Dialog | None:
        key = key_of(message.call_id, caller_tag)
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

        What there was before ends and gets a key of its own, under which its time runs out. A death
        in between leaves it twice, under one did. False when it is a call that is up: nobody may
        take its place.
        """
        store = self.store
        old = make_dialog(store, key, payload, stamp)
        if old.is_live:
            old.end(GONE, REPLACED, 0)
            if old.is_live:
                return False
        store.write(b"\0".join((key, old.did)), 0, old.payload)
        return store.remove(key, old.stamp)


def at_most(uri: bytes) -> bytes:
    """A URI, cut off where it is longer than a record keeps."""
    return uri if len(uri) <= URI_BYTES else uri[:URI_BYTES]
