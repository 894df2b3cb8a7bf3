"""Taking bindings that ran out from the table: the timekeeper's sweep, one AoR at a time."""

from __future__ import annotations

from typing import NamedTuple

from proxy.registrar.binding import Faults
from proxy.registrar.commit import commit_record
from proxy.registrar.layout import LAST_VERSION
from proxy.registrar.record import binding_count, units_of
from proxy.registrar.replica import BindingsForm
from proxy.shm.layout import NOBODY
from proxy.shm.table import Table

ATTEMPTS = 8  # a record that changes this often between two looks is refreshed, not expired
FORM = BindingsForm()


class Horizon(NamedTuple):
    """What is too old to be kept."""

    node: int  # ours
    now: int  # wall seconds
    grace: int  # what other nodes registered runs out this much later
    before: int  # tombstones with lower versions are needed no more


def alone(node: int, now: int) -> Horizon:
    """The horizon of a server without others: nobody could bring back what it removed."""
    return Horizon(node, now, 0, LAST_VERSION)


def expire(table: Table, key: bytes, horizon: Horizon, faults: Faults | None = None) -> int:
    """Remove what ran out from one record; how many bindings that were."""
    for _ in range(ATTEMPTS):
        payload, stamp = table.snapshot(key)
        if payload is None:
            return 0
        if binding_count(payload) < 0:
            if faults is not None:
                faults.corrupt += 1
            # Nobody can read it, and left alone it would be due for ever.
            if table.commit(key, stamp, None, 0, 0):
                return 0
            continue
        kept = FORM.prune(payload, *horizon)
        if kept is payload:
            return 0
        if commit_record(table, key, stamp, kept):
            return _bindings(payload) - _bindings(kept)
        if faults is not None:
            faults.conflicts += 1
    return 0


def _bindings(record: bytes | None) -> int:
    return 0 if record is None else units_of(record, binding_count(record)) % NOBODY
