"""Into the table with the bindings of an AoR, with what the table has to know of them."""

from __future__ import annotations

from proxy.registrar.binding import Binding, encode
from proxy.registrar.record import binding_count, due_at, units_of
from proxy.shm.table import Table


def commit_record(table: Table, aor: bytes, stamp: int, record: bytes | None) -> bool:
    """Put a sound record, or none, in place of the one that `stamp` names (Table.commit)."""
    if record is None:
        return table.commit(aor, stamp, None, 0, 0)
    count = binding_count(record)
    return table.commit(aor, stamp, record, due_at(record, count), units_of(record, count))


def commit_bindings(table: Table, aor: bytes, stamp: int, bindings: list[Binding]) -> bool:
    """The same with the bindings that the record is made of."""
    return commit_record(table, aor, stamp, encode(bindings) if bindings else None)
