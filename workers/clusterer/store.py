"""The shared tables of one node as a cluster's brain wants them (proxy/cluster/store.py).

A change that this store has made itself is not told to the brain again: that one knows it.
"""

from __future__ import annotations

from collections.abc import Collection

from proxy.cluster.form import Form, joined
from proxy.cluster.frames import Record
from proxy.cluster.store import LOST, Horizon
from proxy.cluster.telling import Telling
from proxy.errors import LockTimeout
from proxy.shm.change_reader import ChangeReader
from proxy.shm.changes import OVERRUN, STRIPE, WAITING, ChangeRing
from workers.child import Child
from workers.clusterer.adapter import Adapter
from workers.clusterer.destinations import DestinationAdapter
from workers.clusterer.dialogs import dialog_adapter
from workers.clusterer.location import LocationAdapter

ATTEMPTS = 64  # a peer's change should not lose to a busy phone
AT_ONCE = 32  # records whose memory is asked for together
CURSOR_BITS = 40  # of a cursor; above them is the number of the table
CURSOR_MASK = 0xFF_FFFF_FFFF  # 1 << 40 would be reckoned with as a C int
_LOST = LOST
_OVERRUN = OVERRUN
_STRIPE = STRIPE
_WAITING = WAITING


class TableStore:
    """Implements Store; one for each cluster, with a cursor of its own."""

    def __init__(self, changes: ChangeRing, adapters: list[Adapter]) -> None:
        self.adapters = {adapter.table_id: adapter for adapter in adapters}
        self.forms: dict[int, Form] = {each.table_id: each.form for each in adapters}
        self.tables = tuple(sorted(self.adapters))
        self.was: bytes | None = None  # what apply() found
        self._reader = ChangeReader(changes)
        self._own: set[int] = set()  # where the notes of our own changes end

    @property
    def position(self) -> int:
        """How far the change ring has been read."""
        return self._reader.position

    @property
    def at_end(self) -> bool:
        """Whether there is no note to read."""
        return self._reader.position == self._reader.ring.head

    def take(self, limit: int, now: int, telling: Telling) -> int:
        """Tell what others have changed next, as it is now; LOST when all must be read again.

        So it must when a writer has died: what it may have removed has no note.
        """
        reader = self._reader
        ring = reader.ring
        keys: list[bytes] = []
        adapter: Adapter | None = None
        taken = 0
        while taken < limit:
            state = reader.advance(now)
            if state == _WAITING:
                break
            table = ring.table
            if state == _OVERRUN or (state == _STRIPE and table in self.adapters):
                self._resume()
                return _LOST
            if adapter is None or adapter.table_id != table or len(keys) == AT_ONCE:
                self._read(adapter, keys, telling)
                adapter = self.adapters.get(table)
            if self._own and ring.following in self._own:
                self._own.discard(ring.following)
            elif adapter is not None:
                keys.append(ring.key)
                taken += 1
        self._read(adapter, keys, telling)
        return taken

    def _read(self, adapter: Adapter | None, keys: list[bytes], telling: Telling) -> int:
        """Tell what the records of some keys are now."""
        if adapter is None:
            return 0
        table = adapter.table
        table.warm(keys)
        for key in keys:
            telling.name(adapter.table_id, key)
            payload = table.read(key)
            telling.state(None if payload is None else adapter.body(key, payload))
        keys.clear()
        return 0

    def _resume(self) -> None:
        self._reader.resume()
        self._own.clear()

    def fetch(self, table: int, key: bytes) -> bytes | None:
        """The body of a record as it is now."""
        adapter = self.adapters[table]
        payload = adapter.table.read(key)
        return None if payload is None else adapter.body(key, payload)

    def warm(self, records: list[Record]) -> int:
        """Ask for the memory of what is applied next."""
        keys: list[bytes] = []
        adapter: Adapter | None = None
        for table, key, _ in records:
            if adapter is None or adapter.table_id != table:
                if adapter is not None:
                    adapter.table.warm(keys)
                    keys.clear()
                adapter = self.adapters[table]
            keys.append(key)
        if adapter is not None:
            adapter.table.warm(keys)
        return 0

    def apply(self, table: int, key: bytes, body: bytes, horizon: Horizon) -> bytes | None:
        """Commit what the record here and `body` make together; None when that is nothing new."""
        adapter = self.adapters[table]
        for _ in range(ATTEMPTS):
            payload = adapter.table.read(key)
            stamp = adapter.table.seen
            ours = None if payload is None else adapter.body(key, payload)
            self.was = ours
            merged = joined(adapter.form, ours, body, horizon)
            if merged is None:
                return None
            if adapter.commit(key, stamp, payload, merged):
                if not self._reader.pass_own(key, adapter.table.changed_at):
                    self._own.add(adapter.table.changed_at)
                return merged
        raise LockTimeout(f"the record of {key!r} is changing too fast to take a peer's")

    def scan(self, cursor: int, limit: int) -> tuple[list[Record], int]:
        """About `limit` records from `cursor` on, and the next cursor; 0 is the begin and the end.

        What stands above CURSOR_BITS in a cursor is which table.
        """
        if not self.tables:
            return [], 0
        number = cursor >> CURSOR_BITS
        adapter = self.adapters[self.tables[number]]
        rows, following = adapter.table.scan(cursor & CURSOR_MASK, limit)
        found: list[Record] = []
        for key, payload in rows:
            body = adapter.body(key, payload)
            if body is not None:
                found.append((adapter.table_id, key, body))
        if following == 0:
            number = (number + 1) % len(self.tables)
        return found, number << CURSOR_BITS | following


def open_store(child: Child, contents: Collection[str]) -> TableStore:
    """The store of those tables of this node that a cluster keeps equal."""
    tables = child.tables
    adapters: list[Adapter] = []
    if "location" in contents:
        adapters.append(LocationAdapter(tables.location))
    dialogs = dialog_adapter(child) if "dialogs" in contents else None
    if dialogs is not None:
        adapters.append(dialogs)
    if "destinations" in contents and tables.destinations is not None:
        adapters.append(DestinationAdapter(tables.destinations))
    return TableStore(tables.changes, adapters)
