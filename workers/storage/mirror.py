"""A table of a database as the mirror of a shared one: what it holds, and has yet to be told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from operator import itemgetter
from typing import Any, Final

from sqlalchemy import Connection

from proxy.limits import counters as ids
from proxy.shm.table import Table
from proxy.storage.differences import Difference, Known, uncertain
from proxy.storage.location_rows import Row
from proxy.storage.refreshes import Refresh
from proxy.storage.statements import Versioned, delete_known, page
from workers.child import Child
from workers.storage.database import BadSchema, BadStatement, Database, Unavailable
from workers.storage.row_writer import RowWriter

BATCH: Final = 2_000  # records of one transaction
SPARE_NOTES: Final = 20_000  # beyond those that can matter, before the others are forgotten
COUNTER_BITS: Final = 16


class NotAsKnown(Exception):
    """A row is not as this node has left it: the transaction was rolled back."""


class Group:
    """What one transaction writes, and what is known of each record after it."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.refreshed: list[Refresh] = []
        self.deleted: list[dict[str, Any]] = []
        self.known: dict[bytes, Known | None] = {}  # None: nothing is left of it


class Mirror:
    """The rows of one table in one database, as far as this node knows them.

    The kinds of rows say what differs, how a row is taken over, and what is known of it.
    """

    rows: Versioned
    page_rows: int
    is_vital = True  # a database in which this table cannot be used is none

    def __init__(self, child: Child, database: Database, table_id: int, table: Table) -> None:
        self.child = child
        self.database = database
        self.table_id = table_id
        self.table = table
        self.counters = child.tables.slots.counters(child.slot)
        self.known: dict[bytes, Known] = {}
        self.pending: dict[bytes, None] = {}
        self.current = False  # whether `known` is what the database holds
        self.retry_at = 0.0
        (key,) = self.rows.table.primary_key.columns
        self._identity = key.name
        self._as_bytes = isinstance(self.rows.mark, bytes)
        self._writer = RowWriter(self.rows, database.engine.dialect)
        self._delete = delete_known(self.rows)

    # -- what the kinds say ----------------------------------------------------------------------

    def difference(self, key: bytes, payload: bytes | None) -> Difference | None:
        """What has to be written so that the database says what the table says."""
        raise NotImplementedError

    def plain_row(self, row: Row) -> Row:
        """The row for a database that refuses other characters than ASCII."""
        raise NotImplementedError

    def remember(self, row: Row) -> None:
        """Note in `known` that the database holds this row."""
        raise NotImplementedError

    def take_over(self, rows: list[Row], trusted_until: int) -> int:
        """Take rows over into the table, and remember them; how many records have changed."""
        raise NotImplementedError

    def unusable(self, error: BadSchema) -> Unavailable:
        """The table does not fit: what to raise instead."""
        self.database.give_up(str(error))
        return Unavailable(str(error))

    # -- telling the database --------------------------------------------------------------------

    def note(self, keys: Iterable[bytes]) -> None:
        """These records have changed."""
        self.pending.update(dict.fromkeys(keys))
        if len(self.pending) > self.table.count + len(self.known) + SPARE_NOTES:
            self._forget()

    def _forget(self) -> None:
        """Drop notes of records that have come and gone without the database."""
        table = self.table
        self.pending = {
            key: None
            for key in self.pending
            if key in self.known or table.snapshot(key)[0] is not None
        }

    def note_stripe(self, stripe: int) -> None:
        """Any record of a stripe may have changed."""
        table = self.table
        self.note(key for key, _ in table.scan_stripe(stripe))
        self.note([key for key in self.known if table.hash_of(key) & table.stripe_mask == stripe])

    def note_all(self) -> None:
        """Compare every record."""
        self.counters.add(ids.STORAGE_COMPARISONS)
        for keys in self._every_key():
            self.note(keys)
        self.note(list(self.known))

    def flush(self) -> None:
        """Write all that is pending, a transaction for each batch; raises Unavailable."""
        while self.pending:
            keys = list(dict.fromkeys(self.pending))[:BATCH]
            self._write(keys)
            for key in keys:
                self.pending.pop(key, None)
            self.child.beat()

    def _write(self, keys: list[bytes]) -> None:
        group = self.group_of(keys)
        if not group.known:
            return
        try:
            self._commit(group)
        except BadStatement:
            self._write_one_by_one(keys)

    def group_of(self, keys: list[bytes]) -> Group:
        """What one transaction has to write so that the database says what the table says."""
        group = Group()
        for key in keys:
            self.add_to(group, key, self.table.snapshot(key)[0])
        return group

    def add_to(self, group: Group, key: bytes, payload: bytes | None) -> None:
        """What has to be written of one record."""
        found = self.difference(key, payload)
        if found is not None:
            group.rows += found.rows
            group.known[key] = found.known
            for identity in found.deleted:
                known = self._digits(self.known[key].version)
                group.deleted.append({"identity": identity, "known": known})

    def _commit(self, group: Group) -> None:
        """One transaction; the rows in order of their keys, so that two nodes cannot deadlock."""
        group.rows.sort(key=itemgetter(self._identity))
        group.refreshed.sort()
        group.deleted.sort(key=itemgetter("identity"))
        try:
            self.database.transaction(lambda connection: self.execute(connection, group))
        except BaseException as error:
            if not isinstance(error, NotAsKnown):
                self.counters.add(ids.STORAGE_FAILURES)
            for key, known in group.known.items():
                self.known[key] = uncertain(self.known.get(key), known)
            if isinstance(error, BadSchema):
                raise self.unusable(error) from None
            raise
        for key, known in group.known.items():
            if known is None:
                self.known.pop(key, None)
            else:
                self.known[key] = known
        self.counters.add(ids.STORAGE_TRANSACTIONS)
        self.counters.add(ids.STORAGE_ROWS_WRITTEN, len(group.rows) + len(group.refreshed))
        self.counters.add(ids.STORAGE_ROWS_DELETED, len(group.deleted))

    def execute(self, connection: Connection, group: Group) -> None:
        """The statements of a transaction."""
        if group.rows:
            self._writer.write(connection, group.rows)
        if group.deleted:
            connection.execute(self._delete, group.deleted)

    def _digits(self, version: int) -> str | bytes:
        digits = f"{version:016x}"
        return digits.encode() if self._as_bytes else digits

    def _write_one_by_one(self, keys: list[bytes]) -> None:
        """The database is well and refuses something: find out what, and write all else."""
        for key in keys:
            group = self.group_of([key])
            if not group.known:
                continue
            try:
                self._commit(group)
            except BadStatement:
                group.rows = [self.plain_row(row) for row in group.rows]
                try:
                    self._commit(group)
                except BadStatement as error:
                    self.refuse("row refused", key, error)

    def refuse(self, event: str, key: bytes, reason: Exception) -> None:
        """Count and log what cannot be written, or not be read."""
        self.counters.add(ids.STORAGE_ROWS_REFUSED)
        self.child.log.error(event, table=self.rows.table.name, key=key, error=reason)

    # -- learning from the database --------------------------------------------------------------

    def catch_up(self) -> None:
        """Find out what the database holds; afterwards every difference is pending."""
        self.known = {}
        for rows in self._pages(self.known_page()):
            for row in rows:
                self.remember(row)
            self.child.beat()
        self._compare()

    def load(self, trusted_until: int) -> int:
        """Take over the rows into the table, and remember them; how many records have changed."""
        self.known = {}
        changed = 0
        for rows in self._pages(page(self.rows.table, self.page_rows)):
            changed += self.take_over(rows, trusted_until)
            self.child.beat()
        self._compare()
        return changed

    def known_page(self) -> Any:
        """The query of which rows there are."""
        return page(self.rows.table, self.page_rows)

    def _compare(self) -> None:
        self.pending = {}
        self.note_all()
        self.current = True

    def forget(self) -> None:
        """Others are told what this one will not hear of."""
        self.current = False
        self.known, self.pending = {}, {}

    def _pages(self, statement: Any) -> Iterator[list[Row]]:
        after = -1
        names = [column.name for column in statement.selected_columns]
        while True:
            found = self._fetch(statement, after)
            rows = [dict(zip(names, row, strict=True)) for row in found]
            yield rows
            if len(rows) < self.page_rows:
                return
            after = rows[-1][self._identity]

    def _fetch(self, statement: Any, after: int) -> Any:
        try:
            return self.database.fetch(statement, after=after)
        except BadStatement as error:  # nothing but a table that is not as it should be
            raise self.unusable(BadSchema(str(error))) from None

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
