"""Rows into a table, thousands at a time: the statement is compiled once, rows are plain tuples."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from operator import itemgetter

from sqlalchemy import Connection, Dialect

from proxy.storage import statements
from proxy.storage.location_rows import Row


class RowWriter:
    """The upsert of one table in one dialect."""

    def __init__(self, rows: statements.Versioned, dialect: Dialect) -> None:
        kind = "sqlite" if dialect.name == "sqlite" else "mysql"
        compiled = statements.upsert(rows, kind).compile(dialect=dialect)
        names = getattr(compiled, "positiontup", None)
        if not names:
            raise ValueError(f"{dialect.driver} does not take values by their position")
        self._sql = str(compiled)
        self._values = itemgetter(*names)

    def write(self, connection: Connection, rows: Sequence[Row]) -> None:
        """Insert rows, or bring those with their keys up to date."""
        connection.exec_driver_sql(self._sql, [self._values(row) for row in rows])


@lru_cache(maxsize=4_096)
def as_time(seconds: int) -> str:
    """Wall seconds as a DATETIME: local time, as OpenSIPS writes it."""
    return datetime.fromtimestamp(seconds).isoformat(" ")
