"""Rows into a table, thousands at a time: statements are compiled once, rows are plain tuples."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from operator import itemgetter

from sqlalchemy import ClauseElement, Connection, Dialect

from proxy.storage import statements
from proxy.storage.location_rows import Row
from proxy.storage.refreshes import REFRESH, Refresh


class RowWriter:
    """The upsert of one table in one dialect."""

    def __init__(self, rows: statements.Versioned, dialect: Dialect) -> None:
        self._sql, names = compiled(statements.upsert(rows, kind_of(dialect)), dialect)
        self._values = itemgetter(*names)

    def write(self, connection: Connection, rows: Sequence[Row]) -> None:
        """Insert rows, or bring those with their keys up to date."""
        connection.exec_driver_sql(self._sql, [self._values(row) for row in rows])


class Refresher:
    """Plain refreshes of rows of `location` in one dialect."""

    def __init__(self, dialect: Dialect) -> None:
        kind = kind_of(dialect)
        self._sql, names = compiled(statements.refresh(kind), dialect)
        self._values = itemgetter(*map(REFRESH.index, names))
        self._counted = 1 if kind == "sqlite" else 2

    def write(self, connection: Connection, rows: Sequence[Refresh]) -> bool:
        """Refresh rows; False when one was not as it was known: do not commit then."""
        values = [self._values(row) for row in rows]
        return connection.exec_driver_sql(self._sql, values).rowcount == self._counted * len(rows)


def kind_of(dialect: Dialect) -> str:
    """Which of the two forms of a statement."""
    return "sqlite" if dialect.name == "sqlite" else "mysql"


def compiled(statement: ClauseElement, dialect: Dialect) -> tuple[str, list[str]]:
    """The text of a statement, and the names of its values in their order."""
    made = statement.compile(dialect=dialect)
    names = getattr(made, "positiontup", None)
    if not names:
        raise ValueError(f"{dialect.driver} does not take values by their position")
    return str(made), list(names)


@lru_cache(maxsize=4_096)
def as_time(seconds: int) -> str:
    """Wall seconds as a DATETIME: local time, as OpenSIPS writes it."""
    return datetime.fromtimestamp(seconds).isoformat(" ")
