"""What time does to dialogs: those that are due are ended or removed, and no member stays behind.

Whatever is left undone is found again the next time, so it may stop and be killed anywhere.
"""

from __future__ import annotations

from collections.abc import Callable

from proxy.dialog.dialog import Dialog
from proxy.dialog.states import EndReason, Event, State
from proxy.dialog.tracker import Tracker
from proxy.errors import LockTimeout
from proxy.limits.counters import LOCK_TIMEOUTS, PROFILE_MEMBERS_SWEPT

KEYS_AT_A_TIME = 500
MEMBERS_AT_A_TIME = 2_000
GROUPS_AT_A_TIME = 50_000
SETTLING_S = 5  # who joined later than this is let be: the dialog's record may be on its way
REQUEST_TIMEOUT = 408


def let_expire(dialog: Dialog) -> None:
    """The lifetime of a dialog is over: it counts as ended."""
    dialog.end(Event.TIMEOUT, EndReason.LIFETIME_TIMEOUT, 0)


def let_go(dialog: Dialog) -> bool:
    """An ended dialog has been kept long enough."""
    return not dialog.is_live


class Sweep:
    """Goes over the dialogs and the members of profiles, a part at a time.

    `on_expired` ends a dialog whose lifetime is over, or puts that off. `on_ended` is asked whether
    an ended one may be removed.
    """

    def __init__(
        self,
        tracker: Tracker,
        on_expired: Callable[[Dialog], None] = let_expire,
        on_ended: Callable[[Dialog], bool] = let_go,
    ) -> None:
        self.tracker = tracker
        self.on_expired = on_expired
        self.on_ended = on_ended
        self.member_cursor = 0
        self.group_cursor = 0

    def sweep(self, alive: Callable[[], None]) -> int:
        """See to everything that is due; `alive` is called now and then. How many there were."""
        store = self.tracker.store
        cursor = seen = 0
        while True:
            keys, cursor = store.table.due(store.wall, cursor, KEYS_AT_A_TIME)
            for key in keys:
                self.see_to(key)
            seen += len(keys)
            alive()
            if cursor == 0:
                return seen

    def see_to(self, key: bytes) -> None:
        """One dialog that is due."""
        dialog = self.tracker.open(key)
        if dialog is None:
            self.tracker.discard(key)
        elif dialog.state <= State.EARLY:
            dialog.end(Event.GONE, EndReason.SETUP_TIMEOUT, REQUEST_TIMEOUT)
        elif dialog.is_live:
            self.on_expired(dialog)
        elif self.on_ended(dialog):
            self.tracker.store.remove(key, dialog.stamp)

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
