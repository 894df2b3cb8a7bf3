"""What time does to dialogs: those that are due are ended or removed, and no member stays behind.

Whatever is left undone is found again the next time, so it may stop and be killed anywhere.
"""

from __future__ import annotations

from proxy.dialog.dialog import Dialog
from proxy.dialog.layout import AT_FLAGS, END_WANTED
from proxy.dialog.record import is_sound
from proxy.dialog.replica import is_buried
from proxy.dialog.states import EndReason, Event, State
from proxy.dialog.store import version_of
from proxy.dialog.tracker import Tracker
from proxy.errors import LockTimeout
from proxy.limits.counters import DIALOGS_FORGOTTEN, LOCK_TIMEOUTS, PROFILE_MEMBERS_SWEPT
from proxy.shm.words import get_u32

KEYS_AT_A_TIME = 64
MEMBERS_AT_A_TIME = 200
GROUPS_AT_A_TIME = 5_000
GRAVES_AT_A_TIME = 200
CROWDED = 4  # of so many parts of the table one has to be free
CROWDED_S = 10  # so long it takes at least to tell who is there
VERSIONS_PER_SECOND = 1000 << 16
SETTLING_S = 5  # who joined later than this is let be: the dialog's record may be on its way
REQUEST_TIMEOUT = 408


class Sweep:
    """Goes over the dialogs and the members of profiles, a part at a time.

    What is due in a dialog that goes on, and what becomes of an ended one, is for the one who
    sweeps to say; left alone, a lifetime that is over is the end, and the end is removed.
    """

    def __init__(self, tracker: Tracker) -> None:
        self.tracker = tracker
        self.member_cursor = 0
        self.grave_cursor = 0
        self.group_cursor = 0

    def acts(self, dialog: Dialog) -> bool:
        """Whether a dialog is this node's to see to."""
        return self.tracker.store.acts(dialog.payload)

    def due_live(self, dialog: Dialog) -> None:
        """A dialog that has not ended is due."""
        dialog.end(Event.TIMEOUT, EndReason.LIFETIME_TIMEOUT, 0)

    def due_ended(self, dialog: Dialog) -> None:
        """An ended dialog has been kept long enough."""
        self.tracker.store.let_go(dialog.key, dialog.stamp, dialog.payload)

    def take_breath(self) -> None:
        """Some have been seen to."""

    def sweep(self) -> int:
        """See to everything that is due; how many there were."""
        store = self.tracker.store
        cursor = seen = 0
        while True:
            keys, cursor = store.table.due(store.wall, cursor, KEYS_AT_A_TIME)
            for key in keys:
                self.see_to(key)
            seen += len(keys)
            self.take_breath()
            if cursor == 0:
                return seen

    def see_to(self, key: bytes) -> None:
        """One dialog that is due."""
        dialog = self.tracker.open(key)
        if dialog is None:
            self.tracker.discard(key)
        elif not self.acts(dialog):
            return  # whoever does will move its time on
        elif dialog.state <= State.EARLY and not is_wanted_ended(dialog):
            dialog.end(Event.GONE, EndReason.SETUP_TIMEOUT, REQUEST_TIMEOUT)
        elif dialog.is_live:
            self.due_live(dialog)
        else:
            self.due_ended(dialog)

    def sweep_graves(self, before: int) -> int:
        """Forget a part of the dialogs of which every node knows that they have ended.

        Those have versions below `before`. When they leave too little room for calls, more are
        forgotten: a node that was away then takes such a call for a live one until its lifetime is
        over.
        """
        store = self.tracker.store
        table = store.table
        settled = before
        if CROWDED * table.count > (CROWDED - 1) * table.capacity:
            before = max(before, (store.wall - CROWDED_S) * VERSIONS_PER_SECOND)
        rows, self.grave_cursor = table.scan(self.grave_cursor, GRAVES_AT_A_TIME)
        removed = 0
        for key, seen in rows:
            if is_sound(seen) and is_buried(seen) and version_of(seen) < before:
                payload, stamp = store.read(key)
                if payload == seen and store.remove(key, stamp):
                    removed += 1
                    if version_of(seen) >= settled:
                        store.counters.add(DIALOGS_FORGOTTEN, 1)
        return removed

    def sweep_profiles(self) -> int:
        """Remove members whose dialog has ended without saying so; how many there were."""
        store = self.tracker.store
        table = store.profiles.table
        rows, self.member_cursor = table.rows(self.member_cursor, MEMBERS_AT_A_TIME)
        removed = 0
        try:
            for member, key, did, dialog_hash, joined_at in rows:
                if not key:
                    table.mend_member(member)
                elif joined_at + SETTLING_S <= store.wall and not self.tracker.is_live(
                    did, dialog_hash
                ):
                    removed += table.leave(key, did, store.wall)
            self.group_cursor = table.mend_groups(self.group_cursor, GROUPS_AT_A_TIME, store.wall)
        except LockTimeout:  # the next sweep comes by here again
            store.counters.add(LOCK_TIMEOUTS, 1)
        if removed:
            store.counters.add(PROFILE_MEMBERS_SWEPT, removed)
        return removed


def is_wanted_ended(dialog: Dialog) -> bool:
    """Whether somebody has asked for its end, which its worker has to bring about."""
    return bool(get_u32(dialog.payload, AT_FLAGS) & END_WANTED)
