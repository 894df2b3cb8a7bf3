"""The rows of `location` in one database."""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection

from proxy.errors import CorruptRecord, ShmError
from proxy.registrar.binding import Binding, decode
from proxy.registrar.commit import commit_bindings
from proxy.registrar.layout import REMOVED
from proxy.registrar.tombstones import name_of
from proxy.shm.table_ids import LOCATION
from proxy.storage import statements
from proxy.storage.differences import Difference, Known, difference, merge_loaded
from proxy.storage.location_rows import Row, RowReader, plain_row, version_of
from proxy.storage.refreshes import rest_of, sort_out
from workers.child import Child
from workers.storage.database import BadSchema, Database, as_seconds
from workers.storage.mirror import Group, Mirror, NotAsKnown, default_domain, version_at
from workers.storage.row_writer import Refresher, as_time

DISTRUST_S: Final = 15.0  # somebody else writes to these rows
CLOCK_LEAD_S: Final = 86_400  # a row from further in the future has a wrong clock


class LocationMirror(Mirror):
    """The registered phones."""

    rows = statements.LOCATION
    page_rows = statements.PAGE

    def __init__(self, child: Child, database: Database) -> None:
        super().__init__(child, database, LOCATION, child.tables.location)
        self.by_call_id = child.config.registrar.match_call_id
        self.node = child.config.node.id
        self.reader = RowReader(default_domain(child), as_seconds)
        replicated = child.config.replicates("location")
        # What other nodes hold too has a version that beats no later one of theirs.
        self.clock_lead_s = 0 if replicated else CLOCK_LEAD_S
        self.refresh_at = 0.0  # until then rows are written whole
        self._refresher = Refresher(database.engine.dialect)

    def difference(self, key: bytes, payload: bytes | None) -> Difference | None:
        """One row for each binding; a tombstone is none."""
        try:
            stored = [] if payload is None else decode(payload)
        except CorruptRecord:
            return None
        bindings = [binding for binding in stored if not binding.flags & REMOVED]
        found = difference(key, self.known.get(key), bindings, as_time, self.by_call_id)
        if found is None or found.known is None or payload is None:
            return found
        return found._replace(known=found.known._replace(rest=rest_of(payload)))

    def group_of(self, keys: list[bytes]) -> Group:
        """Plain refreshes apart from what needs whole rows."""
        if time.monotonic() < self.refresh_at:
            return super().group_of(keys)
        refreshed, known, others = sort_out(keys, self.table, self.known, self.node, as_time)
        group = Group()
        group.refreshed = refreshed
        group.known.update(known)
        for key, payload in others:
            self.add_to(group, key, payload)
        return group

    def execute(self, connection: Connection, group: Group) -> None:
        """Refreshes first: most groups have nothing else."""
        if group.refreshed and not self._refresher.write(connection, group.refreshed):
            self.refresh_at = time.monotonic() + DISTRUST_S
            raise NotAsKnown
        super().execute(connection, group)

    def _write(self, keys: list[bytes]) -> None:
        with suppress(NotAsKnown):
            super()._write(keys)
            return
        super()._write(keys)

    def plain_row(self, row: Row) -> Row:
        """The row in ASCII."""
        return plain_row(row)

    def known_page(self) -> Any:
        """Only the columns that tell which rows there are, and how new."""
        return statements.known_page()

    def remember(self, row: Row) -> None:
        """Note one binding of its AoR."""
        self._remember(self.reader.aor(row), row, version_of(row["kv_store"]))

    def _remember(self, key: bytes, row: Row, version: int) -> None:
        had = self.known.get(key)
        if had is None:
            self.known[key] = Known(version, (row["contact_id"],))
        else:
            identities = (*had.identities, row["contact_id"])
            self.known[key] = Known(max(had.version, version), identities)

    def take_over(self, rows: list[Row], trusted_until: int) -> int:
        """Merge the bindings of each AoR into its record."""
        if rows and isinstance(rows[0]["expires"], datetime):  # OpenSIPS 2.2, version 1011
            raise self.unusable(BadSchema("location.expires is a date: sipherd db check"))
        found: dict[bytes, list[Binding]] = {}
        for row in rows:
            key, binding = self.reader.binding(row)
            if not binding.version:
                binding.version = version_at(binding.modified) or 1
            binding.origin = binding.origin or self.node
            self._remember(key, row, binding.version)
            found.setdefault(key, []).append(binding)
        return self._merge(found, trusted_until)

    def _merge(self, found: dict[bytes, list[Binding]], trusted_until: int) -> int:
        now, changed = int(time.time()), 0
        highest = version_at(now + self.clock_lead_s)
        for key, loaded in found.items():
            for binding in loaded:
                binding.version = min(binding.version, highest)
            try:
                changed += self._merge_one(key, loaded, trusted_until, now)
            except (CorruptRecord, ShmError) as error:
                self.refuse("row not loaded", key, error)
        return changed

    def _merge_one(self, key: bytes, loaded: list[Binding], trusted_until: int, now: int) -> bool:
        while True:
            payload, stamp = self.table.snapshot(key)
            stored = [] if payload is None else decode(payload)
            merged = merge_loaded(stored, loaded, trusted_until, now, self._same)
            if merged is None:
                return False
            if commit_bindings(self.table, key, stamp, merged):
                return True

    def _same(self, one: Binding, other: Binding) -> bool:
        if self.by_call_id and one.call_id != other.call_id:
            return False
        return name_of(one) == name_of(other)
