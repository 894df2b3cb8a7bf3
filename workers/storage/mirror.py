"""A database as the mirror of the location table: what it holds, and what it has yet to be told."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from operator import itemgetter
from typing import Any, Final

from sqlalchemy import Connection

from proxy.errors import CorruptRecord, ShmError
from proxy.limits import counters as ids
from proxy.registrar.binding import Binding, decode, earliest, encode
from proxy.shm.table import Table
from proxy.storage import schema, statements
from proxy.storage.differences import Difference, Known, difference, merge_loaded, uncertain
from proxy.storage.location_rows import Row, RowReader, plain_row, version_of
from workers.child import Child
from workers.storage.database import BadStatement, Database, as_seconds
from workers.storage.row_writer import RowWriter, as_time

BATCH: Final = 2_000  # rows of one transaction
CLOCK_LEAD_S: Final = 86_400  # a row from further in the future has a wrong clock
COUNTER_BITS: Final = 16


class Mirror:
    """The rows of `location` in one database, as far as this node knows them."""

    def __init__(self, child: Child, database: Database) -> None:
        self.child = child
        self.database = database
        self.table: Table = child.tables.location
        self.counters = child.tables.slots.counters(child.slot)
        self.by_call_id = child.config.registrar.match_call_id
        self.reader = RowReader(default_domain(child), as_seconds)
        self.known: dict[bytes, Known] = {}
        self.pending: dict[bytes, None] = {}
        self.current = False  # whether `known` is what the database holds
        self._writer = RowWriter(schema.location, database.engine.dialect)
        self._delete = statements.delete_known()

    # -- telling the database --------------------------------------------------------------------

    def note(self, keys: Iterable[bytes]) -> None:
        """These records have changed."""
        self.pending.update(dict.fromkeys(keys))

    def note_stripe(self, stripe: int) -> None:
        """Any record of a stripe may have changed."""
        table = self.table
        self.note(key for key, _ in table.scan_stripe(stripe))
        self.note(key for key in self.known if table.hash_of(key) & table.stripe_mask == stripe)

    def note_all(self) -> None:
        """Compare every record."""
        self.counters.add(ids.STORAGE_COMPARISONS)
        for keys in self._every_key():
            self.note(keys)
        self.note(self.known)

    def flush(self) -> None:
        """Write all that is pending, a transaction for each batch; raises Unavailable."""
        while self.pending:
            keys = list(dict.fromkeys(self.pending))[:BATCH]
            self._write(keys)
            for key in keys:
                self.pending.pop(key, None)
            self.child.beat()

    def _write(self, keys: list[bytes]) -> None:
        differences = {key: each for key in keys if (each := self._difference(key)) is not None}
        if not differences:
            return
        try:
            self._commit(differences)
        except BadStatement:
            self._write_one_by_one(differences)

    def _difference(self, key: bytes) -> Difference | None:
        payload, _ = self.table.snapshot(key)
        try:
            bindings = [] if payload is None else decode(payload)
        except CorruptRecord:
            return None
        return difference(key, self.known.get(key), bindings, as_time, self.by_call_id)

    def _commit(self, differences: dict[bytes, Difference]) -> None:
        """One transaction; the rows in order of their keys, so that two nodes cannot deadlock."""
        rows = [row for each in differences.values() for row in each.rows]
        rows.sort(key=itemgetter("contact_id"))
        deleted: list[dict[str, Any]] = [
            {"identity": identity, "known": f"{self.known[key].version:016x}"}
            for key, each in differences.items()
            for identity in each.deleted
        ]
        deleted.sort(key=itemgetter("identity"))

        def work(connection: Connection) -> None:
            if rows:
                self._writer.write(connection, rows)
            if deleted:
                connection.execute(self._delete, deleted)

        try:
            self.database.transaction(work)
        except BaseException:
            self.counters.add(ids.STORAGE_FAILURES)
            for key, each in differences.items():
                self.known[key] = uncertain(self.known.get(key), each.known)
            raise
        for key, each in differences.items():
            if each.known is None:
                self.known.pop(key, None)
            else:
                self.known[key] = each.known
        self.counters.add(ids.STORAGE_TRANSACTIONS)
        self.counters.add(ids.STORAGE_ROWS_WRITTEN, len(rows))
        self.counters.add(ids.STORAGE_ROWS_DELETED, len(deleted))

    def _write_one_by_one(self, differences: dict[bytes, Difference]) -> None:
        """The database is well and refuses something: find out what, and write all else."""
        for key, each in differences.items():
            for rows in (each.rows, [plain_row(row) for row in each.rows]):
                try:
                    self._commit({key: each._replace(rows=rows)})
                    break
                except BadStatement as error:
                    reason = error
            else:
                self.counters.add(ids.STORAGE_ROWS_REFUSED)
                self.child.log.error("row refused", aor=key, error=reason)

    # -- learning from the database --------------------------------------------------------------

    def catch_up(self) -> None:
        """Find out what the database holds; afterwards every difference is pending."""
        self.known = {}
        for rows in self._pages(statements.known_page()):
            for row in rows:
                self._remember(self.reader.aor(row), row, version_of(row["kv_store"]))
            self.child.beat()
        self.pending = {}
        self.note_all()
        self.current = True

    def load(self, trusted_until: int) -> int:
        """Take over the rows into the table, and remember them; how many records have changed."""
        self.known = {}
        changed = 0
        for rows in self._pages(statements.page(schema.location)):
            found: dict[bytes, list[Binding]] = {}
            for row in rows:
                key, binding = self.reader.binding(row)
                if not binding.version:
                    binding.version = version_at(binding.modified)
                self._remember(key, row, binding.version)
                found.setdefault(key, []).append(binding)
            changed += self._merge(found, trusted_until)
            self.child.beat()
        self.pending = {}
        self.note_all()
        self.current = True
        return changed

    def _remember(self, key: bytes, row: Row, version: int) -> None:
        had = self.known.get(key)
        if had is None:
            self.known[key] = Known(version, (row["contact_id"],))
        else:
            identities = (*had.identities, row["contact_id"])
            self.known[key] = Known(max(had.version, version), identities)

    def _merge(self, found: dict[bytes, list[Binding]], trusted_until: int) -> int:
        now, changed = int(time.time()), 0
        highest = version_at(now + CLOCK_LEAD_S)
        for key, loaded in found.items():
            for binding in loaded:
                binding.version = min(binding.version, highest)
            try:
                changed += self._merge_one(key, loaded, trusted_until, now)
            except (CorruptRecord, ShmError) as error:
                self.counters.add(ids.STORAGE_ROWS_REFUSED)
                self.child.log.error("row not loaded", aor=key, error=error)
        return changed

    def _merge_one(self, key: bytes, loaded: list[Binding], trusted_until: int, now: int) -> bool:
        while True:
            payload, stamp = self.table.snapshot(key)
            stored = [] if payload is None else decode(payload)
            merged = merge_loaded(stored, loaded, trusted_until, now, self._same)
            if merged is None:
                return False
            if self.table.commit(key, stamp, encode(merged), earliest(merged), len(merged)):
                return True

    def _same(self, one: Binding, other: Binding) -> bool:
        if self.by_call_id and one.call_id != other.call_id:
            return False
        return one.contact == other.contact

    def _pages(self, statement: Any) -> Iterator[list[Row]]:
        after = -1
        names = [column.name for column in statement.selected_columns]
        while True:
            found = self.database.fetch(statement, after=after)
            rows = [dict(zip(names, row, strict=True)) for row in found]
            yield rows
            if len(rows) < statements.PAGE:
                return
            after = rows[-1]["contact_id"]

    def _every_key(self) -> Iterator[list[bytes]]:
        cursor = 0
        while True:
            records, cursor = self.table.scan(cursor, BATCH)
            yield [key for key, _ in records]
            if cursor == 0:
                return


def version_at(seconds: int) -> int:
    """The version that a change of that moment would have."""
    return seconds * 1_000 << COUNTER_BITS


def default_domain(child: Child) -> bytes:
    """The domain of rows without one."""
    config = child.config
    host = config.listen.udp[0].host
    return next(iter(config.node.domains), f"[{host}]" if ":" in host else host).encode()
