"""Plain refreshes: a phone that registers again as before changes four columns of its one row.

Nearly all that a registrar writes is that. A digest of the rest of the record tells that the row
has it already; statements.refresh then takes the four columns, and only if the row still carries
the version that was written last, so that nobody else's row is touched.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import cython

from proxy.registrar.layout import (
    AT_CSEQ,
    AT_EXPIRES,
    AT_MODIFIED,
    AT_ORIGIN,
    AT_VERSION,
    HEAD,
)
from proxy.registrar.record import binding_count
from proxy.shm.table import Table
from proxy.storage.differences import Known
from proxy.storage.location_rows import OURS, AsTime

if not cython.compiled:
    from proxy.shm.words import get_u16, get_u32, get_u64, put_u32, put_u64

# Versions with their mark: as the row has it, and from now on.
REFRESH = ("identity", "known", "expires", "cseq", "modified", "now")
Refresh = tuple[int, str, int, int, str, str]

MARK = OURS
MOST_CSEQ = 0x7FFF_FFFF  # cseq has a sign in OpenSIPS' table


class Sorted(NamedTuple):
    """Records that have changed: what is refreshed, what is known after it, and all others."""

    refreshed: list[Refresh]
    known: dict[bytes, Known]
    others: list[tuple[bytes, bytes | None]]


def rest_of(payload: bytes) -> int:
    """A digest of all that a plain refresh leaves as it is; 0 when there is not just one binding.

    It is keyed anew in every process: no phone can make two records that look alike.
    """
    if binding_count(payload) != 1:
        return 0
    copy = bytearray(payload)
    p = copy
    put_u64(p, HEAD + AT_VERSION, 0)
    put_u32(p, HEAD + AT_EXPIRES, 0)
    put_u32(p, HEAD + AT_CSEQ, 0)
    put_u32(p, HEAD + AT_MODIFIED, 0)
    return hash(bytes(copy))


def sort_out(
    keys: Iterable[bytes], table: Table, known: Mapping[bytes, Known], node: int, as_time: AsTime
) -> Sorted:
    """Tell plain refreshes that this node has taken from all other changes."""
    refreshed: list[Refresh] = []
    after: dict[bytes, Known] = {}
    others: list[tuple[bytes, bytes | None]] = []
    last_time = -1
    when = ""
    for key in keys:
        payload = table.snapshot(key)[0]
        had = known.get(key)
        if payload is None or had is None:
            others.append((key, payload))
            continue
        rest, version = had.rest, had.version
        if not rest or rest != rest_of(payload):
            others.append((key, payload))
            continue
        p = payload
        new_version = get_u64(p, HEAD + AT_VERSION)
        if new_version == version:
            continue  # it has been written already
        if get_u16(p, HEAD + AT_ORIGIN) != node:
            others.append((key, payload))  # another node may have written it first
            continue
        modified = get_u32(p, HEAD + AT_MODIFIED)
        if modified != last_time:
            last_time = modified
            when = as_time(modified)
        cseq = get_u32(p, HEAD + AT_CSEQ)
        identities = had.identities
        refreshed.append(
            (
                identities[0],
                f"{MARK}{version:016x}",
                get_u32(p, HEAD + AT_EXPIRES),
                cseq if cseq < MOST_CSEQ else MOST_CSEQ,
                when,
                f"{MARK}{new_version:016x}",
            )
        )
        after[key] = Known(new_version, identities, rest)
    return Sorted(refreshed, after, others)
