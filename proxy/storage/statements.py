"""The statements on OpenSIPS' tables, one set for MariaDB and SQLite, all by bound parameters.

A row that carries our version (`kv_store`, see location_rows) is never replaced by an older one,
nor deleted by whoever knew an older one only: several nodes may write one table in any order.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from sqlalchemy import BindParameter, Table, TextClause, bindparam, delete, select, text
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.sql import Select
from sqlalchemy.sql.dml import Delete, Insert

from proxy.dialog.rows import MARK
from proxy.storage import schema
from proxy.storage.location_rows import OURS

HIGHEST: Final = "f" * 16


class Versioned(NamedTuple):
    """Where a row of ours says how new it is: 16 hex digits behind a mark that begins a column."""

    table: Table
    column: str
    mark: str | bytes

    @property
    def begins(self) -> int:
        """How long the mark is."""
        return len(self.mark)

    def literal(self, text: str, behind_mark: bool = False) -> str:
        """Digits in SQL, alone or behind the mark."""
        if isinstance(self.mark, bytes):
            before = self.mark if behind_mark else b""
            return f"X'{(before + text.encode()).hex()}'"
        return f"'{self.mark if behind_mark else ''}{text}'"

    def is_wrong(self, row: str = "") -> str:
        """In SQL: whether what stands behind the mark is no version at all."""
        return f"{self.version(row)} > {self.literal(HIGHEST)}"

    def version(self, row: str = "") -> str:
        """The version in SQL."""
        return f"substr({row}{self.column}, {self.begins + 1}, 16)"


LOCATION: Final = Versioned(schema.location, "kv_store", OURS)
DIALOG: Final = Versioned(schema.dialog, "vars", MARK)
PAGE: Final = 10_000


def upsert(rows: Versioned, dialect: str) -> Insert:
    """Insert a row or bring the one with its key up to date, unless that one is newer."""
    table, column, begins = rows.table, rows.column, rows.begins
    (key,) = table.primary_key.columns
    names = [each.name for each in table.columns if each is not key]
    if dialect == "sqlite":
        insert = sqlite.insert(table)
        new = insert.excluded
        newer = text(
            f"substr({table.name}.{column}, 1, {begins}) IS NOT {rows.literal('', True)} OR "
            f"{rows.version(table.name + '.')} <= {rows.version('excluded.')} OR "
            f"{rows.is_wrong(table.name + '.')}".replace(":", "\\:")
        )
        return insert.on_conflict_do_update(
            index_elements=[key], set_={name: new[name] for name in names}, where=newer
        )
    insert_mysql = mysql.insert(table)
    # Assignments take effect from left to right, so that which decides is the last.
    names.sort(key=lambda name: name == column)
    end = begins + 16
    # Bytes compare in a fraction of the time of letters. NULL is not newer.
    is_newer = (
        f"LEFT({column},{end})>CAST(LEFT(VALUES({column}),{end}) AS BINARY) AND "
        f"LEFT({column},{end})<=CAST({rows.literal(HIGHEST, True)} AS BINARY)"
    ).replace(":", "\\:")
    return insert_mysql.on_duplicate_key_update(
        [(name, text(f"IF({is_newer},`{name}`,VALUES(`{name}`))")) for name in names]
    )


def refresh(dialect: str) -> TextClause:
    """Bring four columns of a row of `location` up to date if it carries the version `known`.

    `known` and `now` are versions behind the mark. MySQL's form touches thousands of rows in one
    statement (an UPDATE could not), counts each as two, and one that is not there as one: then the
    transaction must not be committed. SQLite's counts a row as one.
    """
    end = LOCATION.begins + 16
    if dialect == "sqlite":
        return text(
            "UPDATE location SET expires = :expires, cseq = :cseq, last_modified = :modified, "
            f"kv_store = :now || substr(kv_store, {end + 1}) "
            f"WHERE contact_id = :identity AND substr(kv_store, 1, {end}) = :known"
        )
    same = f"LEFT(kv_store,{end})=CAST(VALUES(contact) AS BINARY)"
    values = {
        "expires": "VALUES(expires)",
        "cseq": "VALUES(cseq)",
        "last_modified": "VALUES(last_modified)",
        "kv_store": f"CONCAT(VALUES(kv_store),SUBSTR(kv_store,{end + 1}))",
    }
    changes = ",".join(f"{name}=IF({same},{value},{name})" for name, value in values.items())
    return text(
        f"INSERT INTO location (contact_id, contact, {', '.join(values)}) "
        "VALUES (:identity, :known, :expires, :cseq, :modified, :now) "
        f"ON DUPLICATE KEY UPDATE {changes}"
    )


def delete_known(rows: Versioned) -> Delete:
    """Delete a row unless it is newer than the `known` version (16 hex digits)."""
    (key,) = rows.table.primary_key.columns
    known: BindParameter[Any] = bindparam("known")
    ours: BindParameter[Any] = bindparam("ours", rows.mark)
    condition = (
        f"({rows.column} IS NULL OR substr({rows.column}, 1, {rows.begins}) <> :ours "
        f"OR {rows.version()} <= :known OR {rows.is_wrong()})"
    )
    chosen = key == bindparam("identity")
    return delete(rows.table).where(chosen, text(condition).bindparams(known, ours))


def page(table: Table, limit: int = PAGE) -> Select[Any]:
    """The next rows in the order of the primary key, from behind `after` on."""
    (key,) = table.primary_key.columns
    return select(table).where(key > bindparam("after")).order_by(key).limit(limit)


def known_page() -> Select[Any]:
    """The same of `location`, but only what tells which rows there are and how new."""
    table = schema.location
    columns = (table.c.contact_id, table.c.username, table.c.domain, table.c.kv_store)
    return (
        select(*columns)
        .where(table.c.contact_id > bindparam("after"))
        .order_by(table.c.contact_id)
        .limit(PAGE)
    )


def of_aor(lock: bool) -> Select[Any]:
    """All rows of one user; `lock` so that nobody else changes them before the commit."""
    table = schema.location
    chosen = select(table).where(table.c.username == bindparam("username"))
    return chosen.with_for_update() if lock else chosen
