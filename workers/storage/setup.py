"""`sipherd db`: tables made, brought up to date, or looked at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from sqlalchemy import (
    Connection,
    Float,
    Integer,
    Numeric,
    String,
    Table,
    insert,
    inspect,
    select,
    update,
)
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.schema import CreateColumn
from sqlalchemy.types import TypeEngine

from proxy.errors import SipherdError
from proxy.storage import schema
from proxy.storage.location_rows import WIDTHS
from workers.storage.database import make_engine, shown
from workers.storage.faults import sentence

LONG_TEXT: Final = WIDTHS["contact"]
_version: Final = schema.version.c


def create(url: str) -> list[str]:
    """Make what is missing of the tables; sentences about what was done."""
    return with_database(url, _create)


def upgrade(url: str) -> list[str]:
    """Make what is missing of tables and columns, and say so in `version`."""
    return with_database(url, lambda connection: _create(connection) + _upgrade(connection))


def check(url: str) -> list[str]:
    """Sentences about what does not fit; none when the database can be used."""
    return with_database(url, _faults)


def with_database(url: str, work: Callable[[Connection], list[str]]) -> list[str]:
    """Work done in one transaction; what goes wrong is a sentence."""
    engine = make_engine(make_url(url))
    try:
        with engine.begin() as connection:
            return work(connection)
    except SQLAlchemyError as error:
        raise SipherdError(f"{shown(engine.url)}: {sentence(error)}.") from None
    finally:
        engine.dispose()


def _create(connection: Connection) -> list[str]:
    have = set(inspect(connection).get_table_names())
    made = [table for table in schema.METADATA.sorted_tables if table.name not in have]
    schema.METADATA.create_all(connection, tables=made, checkfirst=False)
    for table in made:
        if table in schema.VERSIONS:
            _set_version(connection, table)
    return [f"table {table.name} made" for table in made]


def _upgrade(connection: Connection) -> list[str]:
    done = []
    for table, missing in _missing_columns(connection):
        for column in missing:
            clause = str(CreateColumn(column).compile(dialect=connection.dialect))
            connection.exec_driver_sql(f"ALTER TABLE {table.name} ADD COLUMN {clause}")
            done.append(f"column {table.name}.{column.name} added")
    done += _enter_versions(connection)
    names = {index["name"] for index in inspect(connection).get_indexes(schema.location.name)}
    for index in schema.location.indexes:
        if index.name not in names:
            index.create(connection)
            done.append(f"index {index.name} of location made")
    return done


def _enter_versions(connection: Connection) -> list[str]:
    """Say in `version` how new the tables are that have all that is wanted of them."""
    have, told = set(inspect(connection).get_table_names()), _versions(connection)
    unfit = {table.name for table, _ in _unfit_columns(connection)}
    done = []
    for table, number in schema.VERSIONS.items():
        if table.name in have - unfit and told.get(table.name, 0) < number:
            _set_version(connection, table)
            done.append(f"table {table.name} entered as version {number}")
    return done


def _versions(connection: Connection) -> dict[str, int]:
    query = select(_version.table_name, _version.table_version)
    return dict(map(tuple, connection.execute(query).all()))


def _faults(connection: Connection) -> list[str]:
    have = set(inspect(connection).get_table_names())
    faults = [
        f"table {table.name} is missing" for table in schema.VERSIONS if table.name not in have
    ]
    for table, missing in _missing_columns(connection):
        faults += [f"column {table.name}.{column.name} is missing" for column in missing]
    faults += [words for _, words in _unfit_columns(connection)]
    if schema.version.name not in have:
        return [*faults, "table version is missing"]
    told = _versions(connection)
    for table, number in schema.VERSIONS.items():
        if table.name in have and told.get(table.name) != number:
            faults.append(f"table {table.name} has version {told.get(table.name)}, not {number}")
    return faults


def _missing_columns(connection: Connection) -> Sequence[tuple[Table, list[Any]]]:
    inspector = inspect(connection)
    have = set(inspector.get_table_names())
    found = []
    for table in schema.VERSIONS:
        if table.name in have:
            names = {column["name"] for column in inspector.get_columns(table.name)}
            missing = [column for column in table.columns if column.name not in names]
            if missing:
                found.append((table, missing))
    return found


def _unfit_columns(connection: Connection) -> list[tuple[Table, str]]:
    """Columns that cannot hold what belongs into them; SQLite's hold anything."""
    if connection.dialect.name == "sqlite":
        return []
    inspector = inspect(connection)
    have = set(inspector.get_table_names())
    found = []
    for table in schema.VERSIONS:
        columns = inspector.get_columns(table.name) if table.name in have else []
        for name, kind in ((each["name"], each["type"]) for each in columns):
            if name in table.columns and (why := _unfit(kind, table.columns[name].type)):
                found.append((table, f"column {table.name}.{name} {why}"))
    return found


def _unfit(kind: TypeEngine[Any], wanted: TypeEngine[Any]) -> str:
    if isinstance(wanted, Integer | Float):
        return "" if isinstance(kind, Numeric | Integer | Float) else "holds no numbers"
    width, least = getattr(kind, "length", None), getattr(wanted, "length", None) or LONG_TEXT
    if isinstance(wanted, String) and width is not None and width < least:
        return f"has room for {width} characters, not for {least}"
    return ""


def _set_version(connection: Connection, table: Table) -> None:
    number = schema.VERSIONS[table]
    done = connection.execute(
        update(schema.version).where(_version.table_name == table.name).values(table_version=number)
    )
    if not done.rowcount:
        connection.execute(
            insert(schema.version).values(table_name=table.name, table_version=number)
        )
