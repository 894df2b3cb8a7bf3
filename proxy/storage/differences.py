"""What has to be written so that a database says what the location table says."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from proxy.registrar.binding import Binding
from proxy.registrar.tombstones import stands_for_all
from proxy.storage.location_rows import AsTime, Row, identities, location_row


class Known(NamedTuple):
    """What a database holds of one AoR: the highest version, and its rows' contact_ids.

    `rest`: a digest of what else its one row says (refreshes.rest_of); 0 when that is not known.
    """

    version: int
    identities: tuple[int, ...]
    rest: int = 0


class Difference(NamedTuple):
    """Rows to write and rows to delete; `known` afterwards, None when nothing is left."""

    rows: list[Row]
    deleted: list[int]
    known: Known | None


NOTHING = Known(0, ())


def difference(
    key: bytes,
    known: Known | None,
    bindings: list[Binding],
    as_time: AsTime,
    by_call_id: bool,
) -> Difference | None:
    """From what the database holds to what the table holds; None when they agree.

    Every change of a binding raises its version, so equal versions and numbers are equal records.
    """
    had = known or NOTHING
    version = max([binding.version for binding in bindings], default=0)
    if version == had.version and len(bindings) == len(had.identities):
        return None
    now = identities(key, bindings, by_call_id)
    rows = [
        location_row(key, binding, identity, as_time)
        for binding, identity in zip(bindings, now, strict=True)
        if binding.version > had.version or identity not in had.identities
    ]
    deleted = [identity for identity in had.identities if identity not in now]
    return Difference(rows, deleted, Known(version, tuple(now)) if now else None)


def uncertain(before: Known | None, after: Known | None) -> Known:
    """What to believe when nobody knows whether a transaction took place: all rows of both."""
    old, new = before or NOTHING, after or NOTHING
    return Known(min(old.version, new.version), tuple({*old.identities, *new.identities}))


def merge_loaded(
    stored: list[Binding],
    loaded: list[Binding],
    trusted_until: int,
    now: int,
    same: Callable[[Binding, Binding], bool],
) -> list[Binding] | None:
    """The record of an AoR after its rows have been read; None when the table's stays as it is.

    The table knew everything up to `trusted_until`: an older row that it lacks was removed.
    """
    merged = list(stored)
    changed = False
    removed = max([old.version for old in stored if stands_for_all(old)], default=0)
    for row in loaded:
        if not row.is_live(now) or row.version <= removed:
            continue
        at = next((i for i, binding in enumerate(merged) if same(binding, row)), -1)
        if at < 0:
            if row.modified > trusted_until:
                merged.append(row)
                changed = True
        elif row.version > merged[at].version:
            merged[at] = row
            changed = True
    return merged if changed else None
