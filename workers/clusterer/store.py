"""The tables of this node as one cluster sees them."""

from __future__ import annotations

from collections.abc import Collection

from proxy.cluster.store import Form, Horizon, Record, joined
from proxy.errors import TableFull
from proxy.registrar.binding import decode
from proxy.registrar.replica import BindingsForm
from proxy.shm.change_reader import ChangeReader
from proxy.shm.location_table import LocationTable
from proxy.shm.table_ids import LOCATION
from workers.child import Child

TRIES = 64


class TableStore:
    """Notes of the change ring, and the records that they name."""

    def __init__(self, child: Child, contents: Collection[str]) -> None:
        self.forms: dict[int, Form] = {}
        self.table: LocationTable = child.tables.location
        if "location" in contents:
            self.forms[LOCATION] = BindingsForm()
        self.reader = ChangeReader(child.tables.changes)

    @property
    def position(self) -> int:
        """How far the notes are read."""
        return self.reader.position

    @property
    def at_end(self) -> bool:
        """Whether there is no note to read."""
        return self.reader.ring.head == self.reader.position

    def take(self, limit: int, now: int) -> list[tuple[int, bytes]] | None:
        """The next notes."""
        found = []
        for change in self.reader.take(limit, now):
            if change.stripe < 0:
                found.append((change.table, change.key))
            elif change.table in self.forms:
                found += [(change.table, key) for key, _ in self.table.scan_stripe(change.stripe)]
        if self.reader.overrun:
            self.reader.resume()
            return None
        return found

    def fetch(self, table: int, key: bytes) -> bytes | None:
        """The record as it is."""
        return self.table.snapshot(key)[0]

    def apply(self, table: int, key: bytes, body: bytes, horizon: Horizon) -> bytes | None:
        """Merge and commit."""
        for _ in range(TRIES):
            ours, stamp = self.table.snapshot(key)
            made = joined(self.forms[table], ours, body, horizon)
            if made is None:
                return None
            bindings = decode(made)
            due = min(each.expires for each in bindings)
            if self.table.commit(key, stamp, made, due, len(bindings)):
                return made
        raise TableFull("a record that changes all the time")

    def scan(self, cursor: int, limit: int) -> tuple[list[Record], int]:
        """All records."""
        if not self.forms:
            return [], 0
        records, following = self.table.scan(cursor, limit)
        return [(LOCATION, key, payload) for key, payload in records], following


def open_store(child: Child, contents: Collection[str]) -> TableStore:
    """The store of one cluster."""
    return TableStore(child, contents)
