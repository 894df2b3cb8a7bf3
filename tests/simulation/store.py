"""A node's tables as the simulator has them: dictionaries, and a change ring that overruns."""

from __future__ import annotations

from collections.abc import Callable

from proxy.cluster.form import Form, joined
from proxy.cluster.frames import Record
from proxy.cluster.merge import WholeForm
from proxy.cluster.store import LOST, Horizon
from proxy.cluster.telling import Telling
from proxy.dialog.replica import DialogForm
from proxy.registrar.replica import BindingsForm

LOCATION = 1
DIALOGS = 2
DESTINATIONS = 3
CONTACTS = [b"sip:phone%d@192.0.2.%d" % (number, number) for number in range(1, 4)]
FORMS: dict[int, Form] = {
    LOCATION: BindingsForm(),
    DIALOGS: DialogForm(),
    DESTINATIONS: WholeForm(),
}


class MemoryStore:
    """What adapters do for real tables."""

    def __init__(self, ring: int) -> None:
        self.forms = FORMS
        self.records: dict[tuple[int, bytes], bytes] = {}
        self.ring = ring
        self.notes: list[tuple[int, bytes]] = []
        self.overrun = False
        self.was: bytes | None = None
        self.watch: Callable[[int, bytes, bytes | None, bytes | None, str], None] | None = None
        self._order: list[tuple[int, bytes]] = []

    def commit(self, table: int, key: bytes, body: bytes | None, why: str) -> None:
        """Replace or remove a record and note it."""
        old = self.records.get((table, key))
        if body is None:
            self.records.pop((table, key), None)
        else:
            self.records[table, key] = body
        self.notes.append((table, key))
        if len(self.notes) > self.ring:
            self.overrun = True
        if self.watch is not None:
            self.watch(table, key, old, body, why)

    def take(self, limit: int, now: int, telling: Telling) -> int:
        if self.overrun:
            self.overrun = False
            self.notes.clear()
            return LOST
        taken = self.notes[:limit]
        del self.notes[:limit]
        for note in taken:
            telling.name(*note)
            telling.state(self.records.get(note))
        return len(taken)

    def fetch(self, table: int, key: bytes) -> bytes | None:
        return self.records.get((table, key))

    def warm(self, records: list[Record]) -> int:
        return 0

    def apply(self, table: int, key: bytes, body: bytes, horizon: Horizon) -> bytes | None:
        self.was = self.records.get((table, key))
        merged = joined(self.forms[table], self.was, body, horizon)
        if merged is not None:
            self.commit(table, key, merged, "applied")
        return merged

    def scan(self, cursor: int, limit: int) -> tuple[list[Record], int]:
        if cursor == 0:
            self._order = list(self.records)
        names = self._order[cursor : cursor + limit]
        found = [(*name, self.records[name]) for name in names if name in self.records]
        end = cursor + limit
        return found, end if end < len(self._order) else 0
