"""The statements on OpenSIPS' tables, one set for MariaDB and SQLite, all by bound parameters.

A row that carries our version (`kv_store`, see location_rows) is never replaced by an older one,
nor deleted by whoever knew an older one only: several nodes may write one table in any order.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import BindParameter, Table, bindparam, delete, select, text
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.sql import Select
from sqlalchemy.sql.dml import Delete, Insert

from proxy.storage import schema
from proxy.storage.location_rows import OURS

_BEGINS: Final = len(OURS)
_AT: Final = _BEGINS + 1
PAGE: Final = 10_000


def upsert(table: Table, dialect: str) -> Insert:
    """Insert a row or bring the one with its key up to date, unless that one is newer."""
    (key,) = table.primary_key.columns
    names = [column.name for column in table.columns if column is not key]
    if dialect == "sqlite":
        insert = sqlite.insert(table)
        new = insert.excluded
        newer = None
        if "kv_store" in table.columns:
            newer = text(
                f"substr({table.name}.kv_store, 1, {_BEGINS}) IS NOT '{OURS}' OR "
                f"substr({table.name}.kv_store, {_AT}, 16) <= substr(excluded.kv_store, {_AT}, 16)"
            )
        return insert.on_conflict_do_update(
            index_elements=[key], set_={name: new[name] for name in names}, where=newer
        )
    insert_mysql = mysql.insert(table)
    if "kv_store" not in names:
        given = insert_mysql.inserted
        return insert_mysql.on_duplicate_key_update({name: given[name] for name in names})
    # Assignments take effect from left to right, so that which decides is the last.
    names.sort(key=lambda name: name == "kv_store")
    older = (
        f"(NOT(LEFT(kv_store,{_BEGINS})<=>'{OURS}') OR "
        f"SUBSTR(kv_store,{_AT},16)<=SUBSTR(VALUES(kv_store),{_AT},16))"
    ).replace(":", "\\:")
    return insert_mysql.on_duplicate_key_update(
        [(name, text(f"IF({older},VALUES(`{name}`),`{name}`)")) for name in names]
    )


def delete_known() -> Delete:
    """Delete a location row unless it is newer than the `known` version (16 hex digits)."""
    table = schema.location
    known: BindParameter[str] = bindparam("known")
    return delete(table).where(
        table.c.contact_id == bindparam("identity"),
        text(
            f"(kv_store IS NULL OR substr(kv_store, 1, {_BEGINS}) <> '{OURS}' "
            f"OR substr(kv_store, {_AT}, 16) <= :known)".replace(f"'{OURS}'", ":ours")
        ).bindparams(known, bindparam("ours", OURS)),
    )


def delete_dialog() -> Delete:
    """Delete the row of a dialog that is over."""
    return delete(schema.dialog).where(schema.dialog.c.dlg_id == bindparam("identity"))


def page(table: Table) -> Select[Any]:
    """The next rows in the order of the primary key, from behind `after` on."""
    (key,) = table.primary_key.columns
    return select(table).where(key > bindparam("after")).order_by(key).limit(PAGE)


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
