"""What a process does with dialogs, as the configuration wants it."""

from __future__ import annotations

from typing import Final

from proxy.cluster.hlc import HybridClock
from proxy.dialog.decoded import decode
from proxy.dialog.profiles import Profiles
from proxy.dialog.rules import DialogRules
from proxy.dialog.store import DialogStore
from proxy.dialog.tracker import Tracker
from proxy.limits.counters import SLOTS_SCAVENGED
from proxy.routing.dialog_agent import DialogAgent
from proxy.routing.node import Node
from proxy.shm.repair import scavenge
from workers.cdr_file import CdrFile
from workers.child import Child
from workers.dialog_tables import intervals_of
from workers.edition import Commit
from workers.errands import Errand
from workers.lifetimes import Lifetimes
from workers.logs import Log
from workers.settings import Dialog

RECORDS_PER_SECOND: Final = 20_000  # of the sweep: a large table is swept less often than a small
LONGEST_PERIOD_S: Final = 5.0
SCAVENGE_SLOTS: Final = 1_000
STRETCHES: Final = 10  # that a second's part of a long walk is done in
HANDOVER_S: Final = 1.0  # until then what the last node that acted had begun is told everywhere
SETUP_MARGIN_S: Final = 120  # beyond timer C: the patience after a CANCEL, and time to spare


def tracker_of(child: Child, clock: HybridClock) -> Tracker | None:
    """What a process does with dialogs; None where calls are not tracked."""
    table, members = child.tables.dialogs, child.tables.profiles
    if table is None or members is None:
        return None
    settings = child.config.dialog
    rules = dialog_rules_of(child)
    profiles = Profiles(members, settings.profiles, settings.profiles_no_value)
    counters = child.tables.slots.counters(child.slot)
    return Tracker(DialogStore(table, profiles, rules, clock, counters, child.tables.cluster))


def dialog_rules_of(child: Child) -> DialogRules:
    """What this child's configuration says about dialogs."""
    config = child.config
    replicated = config.replicates("dialogs")
    return rules_from(config.dialog, config.node.id, config.limits.timer_c_seconds, replicated)


def rules_from(settings: Dialog, node: int, timer_c: int, replicated: bool = False) -> DialogRules:
    """What the configuration says about dialogs."""
    return DialogRules(
        node=node,
        automatic=settings.automatic,
        refuse_when_full=settings.when_full == "refuse",
        default_timeout=settings.default_timeout,
        intervals=intervals_of(settings),
        refuse_late=settings.late_requests == "refuse",
        setup_seconds=timer_c + SETUP_MARGIN_S,
        replicated=replicated,
        tag=settings.sharing_tag.encode(),
    )


class StateLog:
    """Tells the log of each step of a call, with the fields of OpenSIPS' E_DLG_STATE_CHANGED."""

    def __init__(self, log: Log) -> None:
        self._log = log

    def attend(self, tracker: Tracker) -> None:
        """Listen as long as lines of level debug are written; asked once a second."""
        tracker.store.watcher = self.tell if self._log.enabled("debug") else None

    def tell(self, key: bytes, before: int, payload: bytes) -> None:
        """A dialog has changed its state."""
        record = decode(key, payload)
        self._log.debug(
            "dialog state changed",
            id=record.did,
            db_id=record.db_id,
            callid=record.call_id,
            from_tag=record.caller.tag,
            to_tag=record.callees[-1].tag if record.callees else b"",
            old_state=before,
            new_state=record.state,
        )


def track_calls(child: Child, node: Node) -> StateLog:
    """Let a worker track calls, and see to them when it is told that something is due."""
    tracker = node.dialogs = tracker_of(child, node.clock)
    if tracker is not None:
        node.errands[int(Errand.DIALOG)] = DialogAgent(node, tracker).look
    return StateLog(child.log)


class DialogKeeper:
    """The timekeeper's part in tracked calls: what is due ends, and nobody stays in a profile."""

    def __init__(self, child: Child) -> None:
        self._child = child
        self._tracker = tracker_of(child, HybridClock())
        self._lifetimes: Lifetimes | None = None
        if self._tracker is not None:
            path = child.config.dialog.cdr_file
            file = None if path is None else CdrFile(path)
            variables = child.config.dialog.cdr_variables
            self._lifetimes = Lifetimes(child, self._tracker, file, variables)
        self._next_at = 0.0
        self._cluster = child.tables.cluster
        self._tag_changes = 0
        child.prepare = self.prepare

    def prepare(self, child: Child) -> Commit:
        """Make the rules of another edition; the Commit lets them hold."""
        rules = dialog_rules_of(child)

        def commit() -> None:
            if self._tracker is not None:
                self._tracker.store.rules = rules

        return commit

    def turn(self, now: float, wall_ms: int) -> None:
        """One second's work."""
        if self._tracker is None or self._lifetimes is None:
            return
        store = self._tracker.store
        store.set_time(wall_ms)
        recovered = scavenge(store.table, SCAVENGE_SLOTS)
        self._child.pause()
        if recovered:
            store.counters.add(SLOTS_SCAVENGED, recovered)
        self._notice_tags(now)
        if now >= self._next_at:
            period_s = min(LONGEST_PERIOD_S, store.table.count / RECORDS_PER_SECOND)
            self._next_at = now + period_s
            self._lifetimes.sweep()
        if self._cluster is not None and store.rules.replicated:
            before = max(self._cluster.settled(), self._cluster.horizon()[2])
            for _ in range(STRETCHES):
                self._lifetimes.sweep_graves(before)
                self._child.pause()
        removed = 0
        for _ in range(STRETCHES):
            removed += self._lifetimes.sweep_profiles()
            self._child.pause()
        if removed:
            self._child.log.debug("members of profiles removed", members=removed)

    def _notice_tags(self, now: float) -> None:
        """Look at everything soon when this node may have become active for it."""
        if self._cluster is not None and self._cluster.tag_changes() != self._tag_changes:
            self._tag_changes = self._cluster.tag_changes()
            self._next_at = now + HANDOVER_S
