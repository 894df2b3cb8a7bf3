"""The states of destinations (gateways, in sets): whoever finds out tells all nodes.

A record's key is the number of the set, a space and the URI; its body one of merge.py, whose
payload is the state, one byte, and why. The later finding wins, whichever node made it.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from typing import Final, NamedTuple

from proxy.cluster import merge
from proxy.cluster.hlc import HybridClock
from proxy.errors import LockTimeout
from proxy.limits import bounds
from proxy.shm.destination_table import DestinationTable

ATTEMPTS: Final = 64
SCANNED_AT_ONCE: Final = 500
TOMBSTONE_S: Final = 600  # how long one is kept at least, then asked about
NEVER: Final = 0xFFFF_FFFF_FFFF_FFFF
FORM: Final = merge.WholeForm()


class DestinationState(IntEnum):
    """Whether requests are sent to a destination."""

    ACTIVE = 0
    INACTIVE = 1
    PROBING = 2  # inactive, and asked now and then whether it is back


class Destination(NamedTuple):
    """One destination of a set, and what was found out about it last."""

    set_id: int
    uri: bytes
    state: DestinationState
    reason: bytes
    node: int  # who found it out
    version: int


class Destinations:
    """What one process sees, and finds out, of the table all share."""

    def __init__(self, table: DestinationTable, node: int, clock: HybridClock) -> None:
        self.table = table
        self.node = node
        self.clock = clock

    def set_state(
        self, set_id: int, uri: bytes, state: DestinationState, reason: bytes, now_ms: int
    ) -> bool:
        """Say how a destination is; False when that was known. TableFull changes nothing."""
        payload = bytes((state,)) + reason[: bounds.DESTINATION_REASON_BYTES]
        return self._write(key_of(set_id, uri), payload, now_ms)

    def forget(self, set_id: int, uri: bytes, now_ms: int) -> bool:
        """Drop what is known of a destination; False when nothing was."""
        return self._write(key_of(set_id, uri), None, now_ms)

    def look(self, set_id: int, uri: bytes) -> Destination | None:
        """What is known of one destination."""
        key = key_of(set_id, uri)
        body = self.table.snapshot(key)[0]
        return None if body is None else read(key, body)

    def states(self) -> Iterator[Destination]:
        """What is known of all."""
        cursor = 0
        while True:
            records, cursor = self.table.scan(cursor, SCANNED_AT_ONCE)
            for key, body in records:
                found = read(key, body)
                if found is not None:
                    yield found
            if cursor == 0:
                return

    def _write(self, key: bytes, payload: bytes | None, now_ms: int) -> bool:
        for _ in range(ATTEMPTS):
            body, stamp = self.table.snapshot(key)
            known = merge.payload_of(body) if body is not None and FORM.sound(body) else None
            if known == payload:
                return False
            floor = FORM.newest(body) if body is not None and FORM.sound(body) else 0
            version = self.clock.tick(now_ms, floor)
            if payload is None:
                made = merge.tombstone(version, self.node)
            else:
                made = merge.make(version, self.node, payload)
            if commit(self.table, key, stamp, made):
                return True
        raise LockTimeout(f"the state of {key!r} is changing too fast")


def key_of(set_id: int, uri: bytes) -> bytes:
    """The key of a destination; a URI that is too long is one nobody configured."""
    return b"%d %b" % (set_id, uri[: bounds.DESTINATION_URI_BYTES])


def read(key: bytes, body: bytes) -> Destination | None:
    """A record; None for a tombstone, and for what a later version of the program may say."""
    number, _, uri = key.partition(b" ")
    payload = merge.payload_of(body) if FORM.sound(body) else None
    if not payload or not number.isdigit() or payload[0] > max(DestinationState):
        return None
    version, origin, _, _, _ = merge.HEAD.unpack_from(body)
    return Destination(int(number), uri, DestinationState(payload[0]), payload[1:], origin, version)


def commit(table: DestinationTable, key: bytes, stamp: int, body: bytes | None) -> bool:
    """Put a body, or none, in place of the one that `stamp` names (Table.commit)."""
    if body is None:
        return table.commit(key, stamp, None, 0, 0)
    if merge.payload_of(body) is not None:
        return table.commit(key, stamp, body, NEVER, 1)
    due = (FORM.newest(body) >> 16) // 1_000 + TOMBSTONE_S
    return table.commit(key, stamp, body, due, 0)


def sweep(table: DestinationTable, now_s: int, before: int) -> int:
    """Drop the tombstones with versions below `before`; how many there were."""
    cursor = dropped = 0
    while True:
        keys, cursor = table.due(now_s, cursor, SCANNED_AT_ONCE)
        for key in keys:
            body, stamp = table.snapshot(key)
            if body is not None and FORM.prune(body, 0, now_s, 0, before) is None:
                dropped += commit(table, key, stamp, None)
        if cursor == 0:
            return dropped
