"""The dialogs of one INVITE, as whoever works on them holds them: the record and its stamp.

Each method makes one change by one commit. When another process was faster, the record is read anew
and the change made to that; what a change comes to is decided by the table in states.py.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import cython

from proxy.dialog.decoded import DialogRecord, decode, encode, listed, pairs
from proxy.dialog.layout import (
    AT_DUE,
    AT_END_CODE,
    AT_FLAGS,
    AT_PROFILES,
    AT_STATE,
    LEG_CALLER_CSEQ,
    LEG_CSEQ,
    LEG_STATE,
    PROFILES,
    REFUSED,
    VARIABLES,
)
from proxy.dialog.record import did_of, did_text, string, with_string
from proxy.dialog.states import EVENTS, EndReason, Event, State, flatten
from proxy.dialog.steps import (
    after_bye,
    after_provisional,
    after_success,
    as_sent,
    close,
    is_fresh,
    moved,
    watch,
)
from proxy.dialog.store import DialogStore, version_of
from proxy.errors import ShmError, TableFull
from proxy.limits.bounds import DIALOG_PROFILES, DIALOG_VARIABLES_BYTES
from proxy.limits.counters import (
    EXPIRED_DIALOGS,
    FAILED_DIALOGS,
    PROFILE_REFUSALS,
    PROFILES_FULL,
)
from proxy.sip.message import Message

if not cython.compiled:
    from proxy.shm.words import drafted, get_u32, put_u16, put_u32

TABLE = flatten()
EARLY = int(State.EARLY)
CONFIRMED = int(State.CONFIRMED)
DELETED = int(State.DELETED)
ACK = int(Event.ACK)
FAILURE = int(Event.FAILURE)
TIMEOUT = int(Event.TIMEOUT)
FAILED = int(EndReason.FAILED)
BY_CANCEL = int(EndReason.CANCELLED)
NOTHING = b""
ATTEMPTS = 8  # commits lost in a row to other processes


@cython.freelist(64)
@cython.cclass
class Dialog:
    """A record as it was read last; `leg` and `from_caller` say whose message it was found for."""

    store: DialogStore
    key: bytes
    payload: bytes
    stamp: int
    did: bytes  # as it travels in Record-Route
    leg: int  # where the header of the callee's leg is in the record, -1 when that is open
    from_caller: bool
    cancelled: bool  # a CANCEL came for its INVITE
    asked_ms: int  # when the BYE came that this was found for; 0: nobody here has seen it
    refused: bool  # the last change could not be committed

    # -- asking -------------------------------------------------------------------------------

    @property
    def state(self) -> int:
        """1 to 5, as in states.py."""
        p = self.payload
        return p[AT_STATE]

    @property
    def is_live(self) -> bool:
        """Whether it has not ended."""
        return self.state != DELETED

    @property
    def call_id(self) -> bytes:
        """The Call-ID."""
        return self.key.split(b"\0", 2)[0]

    def record(self) -> DialogRecord:
        """Everything there is to know, as it was read last."""
        return decode(self.key, self.payload)

    def variable(self, name: bytes) -> bytes | None:
        """What the policy has stored under a name."""
        return dict(pairs(string(self.payload, VARIABLES))).get(name)

    def profiles(self) -> list[tuple[bytes, bytes]]:
        """The profiles it is in, with their values."""
        return pairs(string(self.payload, PROFILES))

    # -- what messages do to it ---------------------------------------------------------------

    def provisional(
        self,
        response: Message,
        socket: bytes,
        destination: bytes,
        contact: bytes = NOTHING,
        reached: bytes = NOTHING,
    ) -> None:
        """A 1xx other than 100 goes upstream; the callee was called at `destination` from `socket`.

        `contact` is its Contact as it goes upstream, if that is not as it came; `reached` where it
        is in truth, if not there.
        """
        for _ in range(ATTEMPTS):
            draft = after_provisional(
                self.payload,
                self.store,
                self.did,
                response,
                contact,
                socket,
                destination,
                reached,
            )
            if draft is None or self._commit(draft):
                return

    def answered(
        self,
        response: Message,
        socket: bytes,
        destination: bytes,
        contact: bytes = NOTHING,
        reached: bytes = NOTHING,
    ) -> None:
        """A 2xx to the INVITE goes upstream."""
        for _ in range(ATTEMPTS):
            revived = self.payload[AT_STATE] == DELETED
            draft = after_success(
                self.payload,
                self.store,
                self.did,
                response,
                contact,
                socket,
                destination,
                reached,
                self.cancelled,
            )
            if draft is None:
                return
            if self._commit(draft):
                if self.refused:
                    answer = (response, socket, destination, contact, reached)
                    self.store.owe(partial(self.answered, *answer))
                elif revived and self.payload[AT_STATE] != DELETED:
                    self._join_again()
                return

    def acknowledged(self) -> None:
        """The ACK of a 2xx goes to the callee."""
        for _ in range(ATTEMPTS):
            leg = self.leg
            p = self.payload
            if leg < 0 or not TABLE[p[leg + LEG_STATE] * EVENTS + ACK]:
                return
            draft = drafted(self.payload)
            draft[leg + LEG_STATE] = CONFIRMED
            if TABLE[p[AT_STATE] * EVENTS + ACK]:
                draft[AT_STATE] = CONFIRMED
                watch(draft, self.store)
            if self._commit(draft):
                return

    def hung_up(self, cseq: int, status: int) -> bool:
        """The BYE with this CSeq, from either side, has its final response, 408 if there is none.

        True if that has ended the last of the dialogs.
        """
        for _ in range(ATTEMPTS):
            was_live = self.payload[AT_STATE] != DELETED
            draft = after_bye(
                self.payload,
                self.store,
                self.leg,
                self.from_caller,
                cseq,
                status,
                self.asked_ms or self.store.wall_ms,
                self.cancelled,
            )
            if draft is None:
                return False
            if self._commit(draft):
                if self.refused:
                    self.store.owe(partial(self.hung_up, cseq, status))
                ended = was_live and self.payload[AT_STATE] == DELETED
                if ended:
                    self._leave_all()
                return ended
        return False

    def requested(self, request: Message) -> None:
        """Any other request goes on inside the dialog: what its CSeq says is remembered."""
        for _ in range(ATTEMPTS):
            leg = self.leg
            if leg < 0:
                return
            at = leg + (LEG_CALLER_CSEQ if self.from_caller else LEG_CSEQ)
            if request.cseq <= get_u32(self.payload, at):
                return
            draft = drafted(self.payload)
            put_u32(draft, at, request.cseq)
            if self._commit(draft):
                return

    def refreshed(
        self, contact: bytes, reached: bytes, other_contact: bytes, other_reached: bytes
    ) -> None:
        """A 2xx to a re-INVITE or UPDATE: both sides may have moved (RFC 3261 §12.2).

        First the one whose message this was found for. One whose contact is empty, because nobody
        here has seen it, stays where it was.
        """
        for _ in range(ATTEMPTS):
            leg = self.leg
            if leg < 0:
                return
            payload = moved(self.payload, leg, self.from_caller, contact, reached)
            payload = moved(payload, leg, not self.from_caller, other_contact, other_reached)
            if payload is self.payload or self._commit(bytearray(payload)):
                return

    def sent_as(self, contact: bytes, from_uri: bytes, to_uri: bytes) -> None:
        """What the INVITE went on with that is not as it came; empty: that is."""
        for _ in range(ATTEMPTS):
            payload = as_sent(self.payload, contact, from_uri, to_uri)
            if payload is self.payload or self._commit(bytearray(payload)):
                return

    def failed(self, status: int) -> bool:
        """A final response of 300 or more goes upstream."""
        reason = BY_CANCEL if self.cancelled else FAILED
        return self.end(FAILURE, reason, status)

    def keep(self) -> None:
        """The INVITE is still being worked on: nobody need think that its worker died."""
        for _ in range(ATTEMPTS):
            p = self.payload
            if p[AT_STATE] > EARLY or is_fresh(self.payload, self.store):
                return
            draft = drafted(self.payload)
            put_u32(draft, AT_DUE, self.store.wall + self.store.rules.setup_seconds)
            if self._commit(draft):
                return

    # -- what others do to it -----------------------------------------------------------------

    def end(self, event: int, reason: int, code: int, flags: int = 0) -> bool:
        """End all of it; True for the one who did, False for whoever comes too late.

        `flags` are set in the record by the same commit.
        """
        for _ in range(ATTEMPTS):
            p = self.payload
            state = p[AT_STATE]
            if TABLE[state * EVENTS + event] != DELETED:
                return False
            draft = drafted(self.payload)
            if code:
                put_u16(draft, AT_END_CODE, code)
            put_u32(draft, AT_FLAGS, get_u32(p, AT_FLAGS) | flags)
            close(draft, self.store, reason, self.store.wall_ms, self.cancelled)
            if self._commit(draft):
                if self.refused:
                    self.store.owe(partial(self.end, event, reason, code, flags))
                if self.payload[AT_STATE] != DELETED:
                    return False
                self._count_end(event, state)
                self._leave_all()
                return True
        return False

    def change(self, edit: Callable[[DialogRecord], bool]) -> bool:
        """Any rare change: `edit` alters the record, or returns False to leave it as it is."""
        for _ in range(ATTEMPTS):
            record = self.record()
            if not edit(record):
                return False
            if self._commit(bytearray(encode(record))):
                return True
        return False

    def set_variable(self, name: bytes, value: bytes) -> bool:
        """Store a value under a name; False if there is no room for it, or the dialog has gone."""
        for _ in range(ATTEMPTS):
            variables = dict(pairs(string(self.payload, VARIABLES)))
            variables[name] = value
            if len(name) > 0xFF or sum(map(len, (*variables, *variables.values()))) > VARIABLE_ROOM:
                return False
            blob = listed(list(variables.items()))
            if self._commit(bytearray(with_string(self.payload, VARIABLES, blob))):
                return variables[name] == self.variable(name)
        return False

    def join(self, name: bytes, value: bytes, limit: int) -> bool:
        """Enter a profile unless it has `limit` members (0: any number); one step for all workers.

        True also when it is in it already. Whoever dies right after it leaves a member that the
        sweep removes once the dialog has ended.
        """
        store = self.store
        key = store.profiles.key(name, value)
        mine = self.profiles()
        if (name, value) in mine:
            return True
        if len(mine) >= DIALOG_PROFILES or not self.is_live:
            return False
        if not self._enter(key, limit):
            return False
        for _ in range(ATTEMPTS):
            payload = self.payload
            if payload[AT_STATE] != DELETED:
                blob = string(payload, PROFILES) + listed([(name, value)])
                draft = bytearray(with_string(payload, PROFILES, blob))
                draft[AT_PROFILES] += 1
                if not self._commit(draft):
                    continue
                if (name, value) in self.profiles():
                    return True
            break
        self._exit(key)
        return False

    def leave(self, name: bytes, value: bytes) -> bool:
        """Leave a profile; False if it was not in it."""
        key = self.store.profiles.key(name, value)
        for _ in range(ATTEMPTS):
            mine = self.profiles()
            if (name, value) not in mine:
                return False
            mine.remove((name, value))
            draft = bytearray(with_string(self.payload, PROFILES, listed(mine)))
            draft[AT_PROFILES] = len(mine)
            if self._commit(draft):
                self._exit(key)
                return True
        return False

    # -- inside -------------------------------------------------------------------------------

    def _commit(self, draft: bytearray) -> bool:
        """Write a draft; False: the record was another one, which is now ours, so try again.

        True also when nothing can be done now: the record is gone, or the table has `refused`.
        """
        store = self.store
        self.refused = False
        payload = store.sealed(draft, version_of(self.payload))
        stamp = store.write(self.key, self.stamp, payload)
        if stamp > REFUSED:
            if store.watcher is not None and payload[AT_STATE] != self.payload[AT_STATE]:
                store.watcher(self.key, self.payload[AT_STATE], payload)
            self.payload = payload
            self.stamp = stamp
            return True
        if stamp:
            self.refused = True
            return True
        found, stamp = store.read(self.key)
        if found is None or did_of(found) != did_of(self.payload):
            return True
        self.payload = found
        self.stamp = stamp
        return False

    def _count_end(self, event: int, state: int) -> None:
        if event == TIMEOUT:
            self.store.counters.add(EXPIRED_DIALOGS, 1)
        elif state <= EARLY:
            self.store.counters.add(FAILED_DIALOGS, 1)

    def _enter(self, key: bytes, limit: int) -> bool:
        store = self.store
        did = did_of(self.payload)
        try:
            if store.profiles.table.join(
                key, did, store.table.hash_of(self.key), limit, store.wall
            ):
                return True
            store.counters.add(PROFILE_REFUSALS, 1)
        except TableFull:
            store.counters.add(PROFILES_FULL, 1)
        except ShmError as error:
            store.count(error)
        return False

    def _exit(self, key: bytes) -> None:
        try:
            self.store.profiles.table.leave(key, did_of(self.payload), self.store.wall)
        except ShmError as error:
            self.store.count(error)  # the sweep will see to it

    def _leave_all(self) -> None:
        if self.payload[AT_PROFILES]:
            for name, value in self.profiles():
                self._exit(name + b"\0" + value)

    def _join_again(self) -> None:
        """It lives after all: no limit can keep out a call that is there."""
        for name, value in self.profiles():
            self._enter(name + b"\0" + value, 0)


def make_dialog(store: DialogStore, key: bytes, payload: bytes, stamp: int) -> Dialog:
    """The handle of a record."""
    made = Dialog.__new__(Dialog)
    made.store = store
    made.key = key
    made.payload = payload
    made.stamp = stamp
    made.did = did_text(payload)
    made.leg = -1
    made.from_caller = True
    made.cancelled = False
    made.asked_ms = 0
    made.refused = False
    return made


VARIABLE_ROOM = DIALOG_VARIABLES_BYTES
