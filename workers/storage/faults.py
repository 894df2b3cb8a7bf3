"""What a database error means: the server is away, try again, no room, or a bad statement."""

from __future__ import annotations

import enum
import re
from typing import Any, Final

from sqlalchemy.exc import DBAPIError, SQLAlchemyError


class Fault(enum.Enum):
    """What to do about an error."""

    AWAY = "away"  # the database cannot be reached or serves nobody
    AGAIN = "again"  # lost against another transaction: the same once more
    SCHEMA = "schema"  # a table or a column is missing
    STATEMENT = "statement"  # this statement is wrong, the database is well
    LETTERS = "letters"  # a text has letters that the column has none for


# fmt: off
_AWAY: Final = {
    1040, 1042, 1043, 1044, 1045, 1047, 1049, 1053, 1077, 1079, 1080, 1081, 1129, 1130, 1152, 1153,
    1036, 1158, 1159, 1160, 1161, 1184, 1203, 1226, 1290, 1429, 1792, 1836, 1927, 2000, 2002, 2003,
    2004, 2005, 2006, 2012, 2013, 2026, 2027, 2055, 3032, 4031,
    3, 1021, 1026, 1030, 1037, 1041, 1114, 1135,  # no room on its disk, no memory
    1142, 1143, 1227, 1698,  # rights that were taken away
}
# fmt: on
# Deadlocks, lock waits, what was broken off; Galera's certification, at a statement or the commit.
_AGAIN: Final = {1020, 1180, 1205, 1213, 1317, 1412, 1637, 1969, 3024}
_SCHEMA: Final = {1054, 1136, 1146, 1364, 1932}
_LETTERS: Final = {1267, 1366, 3854, 3988}  # a mushroom looked for in latin1
_SQLITE_AWAY: Final = re.compile(
    r"unable to open|disk I/O|disk is full|malformed|not a database|readonly"
)
_SQLITE_SCHEMA: Final = re.compile(r"no such (table|column)|has no column|ON CONFLICT clause")
_BY_CODE: Final[dict[int, Fault]] = {
    **dict.fromkeys(_AWAY, Fault.AWAY),
    **dict.fromkeys(_AGAIN, Fault.AGAIN),
    **dict.fromkeys(_SCHEMA, Fault.SCHEMA),
    **dict.fromkeys(_LETTERS, Fault.LETTERS),
}


def fault_of(error: SQLAlchemyError) -> Fault:
    """The meaning of an error that SQLAlchemy has raised."""
    if not isinstance(error, DBAPIError):
        return Fault.AWAY if "timeout" in type(error).__name__.lower() else Fault.STATEMENT
    if error.connection_invalidated:
        return Fault.AWAY
    code = code_of(error)
    if isinstance(code, int):
        return _BY_CODE.get(code, Fault.STATEMENT)
    words = str(error.orig)
    if "locked" in words or "busy" in words:
        return Fault.AGAIN
    if _SQLITE_SCHEMA.search(words):
        return Fault.SCHEMA
    return Fault.AWAY if _SQLITE_AWAY.search(words) else Fault.STATEMENT


def code_of(error: DBAPIError) -> Any:
    """MySQL's number of an error; None for SQLite's, which has words only."""
    arguments: tuple[Any, ...] = getattr(error.orig, "args", ())
    return arguments[0] if len(arguments) > 1 and isinstance(arguments[0], int) else None


def sentence(error: SQLAlchemyError) -> str:
    """An error for the log: the database's own words, neither the statement nor its values."""
    original = getattr(error, "orig", None)
    words = str(original) if original is not None else type(error).__name__
    return words.replace("\n", " ")[:300]
