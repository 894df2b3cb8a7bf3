"""Taking bindings that ran out from the table: the timekeeper's sweep, one AoR at a time."""

from __future__ import annotations

from proxy.errors import CorruptRecord
from proxy.registrar.binding import Binding, Faults, decode, earliest, encode
from proxy.shm.table import Table

ATTEMPTS = 8  # a record that changes this often between two looks is refreshed, not expired


def expire(table: Table, key: bytes, now: int, faults: Faults | None = None) -> int:
    """Remove what ran out from one record; how many bindings that were."""
    for _ in range(ATTEMPTS):
        payload, stamp = table.snapshot(key)
        if payload is None:
            return 0
        try:
            bindings = decode(payload)
        except CorruptRecord:
            if faults is not None:
                faults.corrupt += 1
            # Nobody can read it, and left alone it would be due for ever.
            if table.commit(key, stamp, None, 0, 0):
                return 0
            continue
        live = [binding for binding in bindings if binding.is_live(now)]
        if len(live) == len(bindings):
            return 0
        if _commit(table, key, stamp, live):
            return len(bindings) - len(live)
        if faults is not None:
            faults.conflicts += 1
    return 0


def _commit(table: Table, key: bytes, stamp: int, live: list[Binding]) -> bool:
    if not live:
        return table.commit(key, stamp, None, 0, 0)
    return table.commit(key, stamp, encode(live), earliest(live), len(live))
