"""Dialogs and profiles for a rehearsed policy, as `[dialog] enabled` has them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from proxy.dialog.profiles import Profiles
from proxy.dialog.rules import DialogRules
from proxy.dialog.store import DialogStore
from proxy.dialog.tracker import Tracker
from proxy.shm.dialog_table import DialogTable
from proxy.shm.profile_table import ProfileTable

if TYPE_CHECKING:
    from workers.rehearsal import Rehearsal

DIALOGS: Final = 1_000


def track(rehearsal: Rehearsal, profiles: tuple[str, ...], folder: Path) -> None:
    """Track every call; `profiles` are those that take a value."""
    node = rehearsal.node
    store = DialogStore(
        DialogTable.create(str(folder / "dialogs.table"), DIALOGS),
        Profiles(ProfileTable.create(None, DIALOGS, DIALOGS), profiles, ()),
        DialogRules(),
        node.clock,
        node.counters,
    )
    store.set_time(node.wall_ms)
    node.dialogs = Tracker(store)
