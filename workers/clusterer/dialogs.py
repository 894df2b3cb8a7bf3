"""The tracked calls as the clusterer sees them.

A record travels as it is stored. Who is in which profile is a table of this node's own: other
nodes' calls are members here as ours are, so that a limit counts each call once on every node. They
join whatever the limit, for they are there, and leave when it is told that they have ended.
"""

from __future__ import annotations

import time

from proxy.dialog.decoded import pairs
from proxy.dialog.layout import AT_DUE, AT_PROFILES, AT_STATE, PROFILES
from proxy.dialog.profiles import Profiles
from proxy.dialog.record import did_of, is_sound, string, units_of
from proxy.dialog.replica import DialogForm
from proxy.dialog.states import State
from proxy.errors import LockTimeout, ShmError, TableFull
from proxy.limits.counters import CORRUPT_RECORDS, LOCK_TIMEOUTS, PROFILES_FULL
from proxy.shm.dialog_table import DialogTable
from proxy.shm.slots import Counters
from proxy.shm.table_ids import DIALOGS
from proxy.shm.words import get_u32
from workers.child import Child
from workers.clusterer.adapter import Adapter

Membership = tuple[bytes, bytes]  # the dialog's did, the profile's key


class DialogAdapter(Adapter):
    """The dialog table, and what a peer's change of it means for the profiles."""

    def __init__(self, table: DialogTable, profiles: Profiles, counters: Counters) -> None:
        super().__init__(DIALOGS, table, DialogForm())
        self._profiles = profiles
        self._counters = counters

    def body(self, key: bytes, payload: bytes) -> bytes | None:
        """The record, unless a peer would refuse it and all that is sent with it."""
        if self.form.names(key) and self.form.sound(payload):
            return payload
        self._counters.add(CORRUPT_RECORDS, 1)
        return None

    def commit(self, key: bytes, stamp: int, payload: bytes | None, body: bytes) -> bool:
        """Store the record; its profiles are joined before and left after that.

        So whoever dies in between leaves a member too many, which the sweep finds, and none too
        few.
        """
        before, after = self._memberships(payload), self._memberships(body)
        hash32 = self.table.hash_of(key)
        now = int(time.time())
        for each in after - before:
            self._join(each, hash32, now)
        units = units_of(body[AT_STATE])
        done = self.table.commit(key, stamp, body, get_u32(body, AT_DUE), units)
        for each in before - after if done else after - before:
            self._leave(each, now)
        return done

    def _memberships(self, payload: bytes | None) -> set[Membership]:
        """What a live dialog is in, of the profiles that this node declares."""
        if payload is None or not is_sound(payload):
            return set()
        if payload[AT_STATE] == State.DELETED or not payload[AT_PROFILES]:
            return set()
        did, names = did_of(payload), self._profiles.names
        return {
            (did, name + b"\0" + value)
            for name, value in pairs(string(payload, PROFILES))
            if names.get(name) == (len(value) > 0)
        }

    def _join(self, membership: Membership, hash32: int, now: int) -> None:
        did, profile = membership
        try:
            self._profiles.table.join(profile, did, hash32, 0, now, True)
        except TableFull:
            self._counters.add(PROFILES_FULL, 1)
        except LockTimeout:
            self._counters.add(LOCK_TIMEOUTS, 1)

    def _leave(self, membership: Membership, now: int) -> None:
        did, profile = membership
        try:
            self._profiles.table.leave(profile, did, now)
        except ShmError:  # the sweep of the profiles sees to it
            self._counters.add(LOCK_TIMEOUTS, 1)


def dialog_adapter(child: Child) -> DialogAdapter | None:
    """The adapter for this node's calls; None where they are not tracked."""
    table, members = child.tables.dialogs, child.tables.profiles
    if table is None or members is None:
        return None
    settings = child.config.dialog
    profiles = Profiles(members, settings.profiles, settings.profiles_no_value)
    return DialogAdapter(table, profiles, child.tables.slots.counters(child.slot))
