"""A database for a rehearsed policy: SQLite in memory, with what the test puts in."""

from __future__ import annotations

import sqlite3

from proxy.limits.bounds import SQL_ROWS
from proxy.routing.pending import Pending
from proxy.routing.sql import decode_query
from proxy.storage.kinds import Fields, Status
from workers.questions import Answer


class RehearsedDatabase:
    """What a script's `sql_query` reads: fill it with `script`, let it be `away`."""

    def __init__(self) -> None:
        self.connection = sqlite3.connect(":memory:")
        self.away = False
        self.asked: list[tuple[str, dict[str, object]]] = []

    def script(self, statements: str) -> None:
        """Run SQL: CREATE TABLE, INSERT."""
        self.connection.executescript(statements)

    def ask(self, kind: int, fields: Fields, pending: Pending, seconds: float) -> None:
        """Answer at once."""
        _, statement, values = decode_query(fields)
        self.asked.append((statement, dict(values)))
        pending.finish(self.answer(statement, dict(values)))

    def answer(self, statement: str, values: dict[str, object]) -> Answer:
        """What the process `storage` would answer."""
        if self.away:
            return Answer(Status.UNAVAILABLE, [])
        try:
            found = self.connection.execute(statement, values)
            rows = found.fetchmany(SQL_ROWS + 1)
        except sqlite3.Error:
            return Answer(Status.FAILED, [])
        if len(rows) > SQL_ROWS:
            return Answer(Status.TOO_LARGE, [])
        names: Fields = [column[0].encode() for column in found.description]
        return Answer(Status.ANSWERED, [names, *([as_field(each) for each in row] for row in rows)])


def as_field(value: object) -> bytes | None:
    """A column as it travels: text as UTF-8, numbers in decimal."""
    if value is None or isinstance(value, bytes):
        return value
    return str(value).encode("utf-8", "replace")
