"""What a process does with dialogs, as the configuration wants it."""

from __future__ import annotations

from typing import Final

from proxy.cluster.hlc import HybridClock
from proxy.dialog.profiles import Profiles
from proxy.dialog.rules import DialogRules
from proxy.dialog.store import DialogStore
from proxy.dialog.sweep import Sweep
from proxy.dialog.tracker import Tracker
from proxy.limits.counters import SLOTS_SCAVENGED
from proxy.shm.repair import scavenge
from workers.child import Child
from workers.settings import Dialog

RECORDS_PER_SECOND: Final = 20_000  # of the sweep: a large table is swept less often than a small
LONGEST_PERIOD_S: Final = 5.0
SCAVENGE_SLOTS: Final = 1_000
SETUP_MARGIN_S: Final = 120  # beyond timer C: the patience after a CANCEL, and time to spare


def tracker_of(child: Child, clock: HybridClock) -> Tracker | None:
    """What a process does with dialogs; None where calls are not tracked."""
    table, members = child.tables.dialogs, child.tables.profiles
    if table is None or members is None:
        return None
    settings = child.config.dialog
    rules = rules_from(settings, child.config.node.id, child.config.limits.timer_c_seconds)
    profiles = Profiles(members, settings.profiles, settings.profiles_no_value)
    counters = child.tables.slots.counters(child.slot)
    return Tracker(DialogStore(table, profiles, rules, clock, counters))


def rules_from(settings: Dialog, node: int, timer_c: int) -> DialogRules:
    """What the configuration says about dialogs."""
    return DialogRules(
        node=node,
        automatic=settings.automatic,
        refuse_when_full=settings.when_full == "refuse",
        default_timeout=settings.default_timeout,
        delete_delay=settings.delete_delay,
        setup_seconds=timer_c + SETUP_MARGIN_S,
    )


class DialogKeeper:
    """The timekeeper's part in tracked calls: what is due ends, and nobody stays in a profile."""

    def __init__(self, child: Child) -> None:
        self._child = child
        self._tracker = tracker_of(child, HybridClock())
        self._sweep = None if self._tracker is None else Sweep(self._tracker)
        self._next_at = 0.0

    def turn(self, now: float, wall_ms: int) -> None:
        """One second's work."""
        if self._tracker is None or self._sweep is None:
            return
        store = self._tracker.store
        store.set_time(wall_ms)
        recovered = scavenge(store.table, SCAVENGE_SLOTS)
        if recovered:
            store.counters.add(SLOTS_SCAVENGED, recovered)
        if now >= self._next_at:
            period_s = min(LONGEST_PERIOD_S, store.table.count / RECORDS_PER_SECOND)
            self._next_at = now + period_s
            self._sweep.sweep(self._child.beat)
        removed = self._sweep.sweep_profiles()
        if removed:
            self._child.log.debug("members of profiles removed", members=removed)
