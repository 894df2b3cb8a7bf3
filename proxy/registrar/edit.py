"""Changes of the location table that no phone asked for: `ul_add`, `ul_rm`, `ul_rm_contact`."""

from __future__ import annotations

from proxy.cluster.hlc import HybridClock
from proxy.errors import CorruptRecord, LockTimeout
from proxy.registrar.binding import Binding, decode, earliest, encode
from proxy.shm.table import Table

ATTEMPTS = 64  # an operator's command should not lose to a busy phone


def add(
    table: Table, aor: bytes, binding: Binding, now_wall: int, now_ms: int, clock: HybridClock
) -> None:
    """Put `binding` beside the live ones of `aor`, in place of one with the same contact."""
    for _ in range(ATTEMPTS):
        payload, stamp = table.snapshot(aor)
        stored = _readable(payload)
        kept = [old for old in stored if old.is_live(now_wall) and old.contact != binding.contact]
        binding.version = clock.tick(now_ms, max([old.version for old in stored], default=0))
        binding.modified = now_wall
        if _commit(table, aor, stamp, [*kept, binding]):
            return
    raise LockTimeout(f"the record of {aor!r} is changing too fast to add a binding")


def remove_contact(table: Table, aor: bytes, contact: bytes, now: int) -> bool:
    """Remove the binding with exactly this contact; False when there is none."""
    for _ in range(ATTEMPTS):
        payload, stamp = table.snapshot(aor)
        stored = _readable(payload)
        live = [binding for binding in stored if binding.is_live(now)]
        kept = [binding for binding in live if binding.contact != contact]
        if len(kept) == len(live):
            return False
        if _commit(table, aor, stamp, kept):
            return True
    raise LockTimeout(f"the record of {aor!r} is changing too fast to remove a binding")


def remove(table: Table, aor: bytes) -> bool:
    """Remove every binding of `aor`; False when it has no record."""
    for _ in range(ATTEMPTS):
        payload, stamp = table.snapshot(aor)
        if payload is None:
            return False
        if table.commit(aor, stamp, None, 0, 0):
            return True
    raise LockTimeout(f"the record of {aor!r} is changing too fast to be removed")


def _readable(payload: bytes | None) -> list[Binding]:
    if payload is None:
        return []
    try:
        return decode(payload)
    except CorruptRecord:
        return []  # what nobody can read is overwritten


def _commit(table: Table, aor: bytes, stamp: int, bindings: list[Binding]) -> bool:
    if not bindings:
        return table.commit(aor, stamp, None, 0, 0)
    return table.commit(aor, stamp, encode(bindings), earliest(bindings), len(bindings))
