"""One database: its engine, its one connection, transactions on it, and whether it is well."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool
from sqlalchemy.sql.expression import Executable

from proxy.storage.breaker import Breaker
from workers.logs import Log
from workers.storage.faults import Fault, fault_of, sentence

CONNECT_S: Final = 2
LONGEST_CALL_S: Final = 4  # below [workers] hang_seconds, so that a silent server costs no process
RETRIES: Final = 5
SQLITE_BUSY_MS: Final = 1_000
SQLITE_STEPS: Final = 10_000  # between two looks at the clock
DRIVERS: Final = {"mysql": "mysqldb", "mariadb": "mysqldb"}

Result = TypeVar("Result")


class Unavailable(Exception):
    """The database cannot be asked now; the breaker knows until when."""


class BadStatement(Exception):
    """The database refuses this statement, and will the next time."""


class BadSchema(BadStatement):
    """A table or a column is not there."""


class UnknownLetters(BadStatement):
    """A text has letters that the column's character set lacks: no row can have it."""


REFUSALS: Final = {
    Fault.STATEMENT: BadStatement,
    Fault.SCHEMA: BadSchema,
    Fault.LETTERS: UnknownLetters,
}


class Database:
    """A URL, its connection, and its breaker; one for `reading` writes nothing."""

    def __init__(self, url: str, log: Log, reading: bool = False) -> None:
        self.url = make_url(url)
        self.name = shown(self.url)
        self.breaker = Breaker(random.random)
        self.log = log
        self.engine = make_engine(self.url, reading)
        self.last_error = ""
        self.repeated = 0  # transactions that lost against another one
        self._connection: Connection | None = None
        self._probe: bool | None = None  # None: not under way; False: it is; True: it succeeded

    def transaction(self, work: Callable[[Connection], Result]) -> Result:
        """Do `work` in one transaction; repeated when it lost against another one.

        Unavailable when the database is away, BadStatement when it does not like `work`.
        """
        if not self.is_well():
            raise Unavailable(self.last_error)
        for attempt in range(RETRIES):
            try:
                result = self._attempt(work)
            except SQLAlchemyError as error:
                fault = fault_of(error)
                self.last_error = sentence(error)
                if fault in REFUSALS:
                    self._roll_back()
                    raise REFUSALS[fault](self.last_error) from None
                if fault is Fault.AGAIN and attempt < RETRIES - 1:
                    self._roll_back()
                    self.repeated += 1
                    time.sleep(random.random() * 0.01 * 2**attempt)
                    continue
                self._went_away()
                raise Unavailable(self.last_error) from None
            if self.breaker.failures:
                self.log.notice("database is back", database=self.name)
            self.breaker.succeeded()
            self._probe = None
            return result
        raise Unavailable(self.last_error)

    def is_well(self) -> bool:
        """Whether it may be asked: one that was away is first tried by a thread beside us."""
        if not self.breaker.failures or self._probe is True:
            return self.breaker.allowed
        if self._probe is None and self.breaker.may_try(time.monotonic()):
            self._probe = False
            threading.Thread(target=self._try_it, daemon=True).start()
        return False

    def _try_it(self) -> None:
        try:
            with self.engine.connect() as connection:
                connection.exec_driver_sql("SELECT 1").all()
        except SQLAlchemyError as error:
            self.last_error = sentence(error)
            self.breaker.failed(time.monotonic())
            self._probe = None
        else:
            self._probe = True

    def fetch(self, statement: Executable, **values: Any) -> Sequence[Any]:
        """The rows of one query."""
        return self.transaction(lambda connection: connection.execute(statement, values).all())

    def bound(self, connection: Connection, seconds: float, rows: int) -> None:
        """Let the database end a query that takes longer, and send no more rows than so many."""
        until = time.monotonic() + seconds
        driver: Any = connection.connection.driver_connection
        if self.url.get_backend_name() == "sqlite":
            driver.set_progress_handler(lambda: time.monotonic() > until, SQLITE_STEPS)
            return
        milliseconds = max(1, round(seconds * 1_000))
        limit = f"max_execution_time = {milliseconds}"
        if getattr(connection.dialect, "is_mariadb", False):
            limit = f"max_statement_time = {milliseconds / 1_000}"
        connection.exec_driver_sql(f"SET SESSION sql_select_limit = {rows}, SESSION {limit}")

    def give_up(self, error: str) -> None:
        """It answers, and cannot be worked with all the same."""
        self.last_error = error
        self._went_away()

    def close(self) -> None:
        """Let go of the connection."""
        self._drop_connection()
        self.engine.dispose()

    def _attempt(self, work: Callable[[Connection], Result]) -> Result:
        if self._connection is None:
            self._connection = self.engine.connect()
        with self._connection.begin():
            return work(self._connection)

    def _roll_back(self) -> None:
        try:
            if self._connection is not None:
                self._connection.rollback()
        except SQLAlchemyError:
            self._drop_connection()

    def _went_away(self) -> None:
        if not self.breaker.failures:
            self.log.error("database is away", database=self.name, error=self.last_error)
        self._drop_connection()
        self._probe = None
        self.breaker.failed(time.monotonic())

    def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            connection.invalidate()
            connection.close()
        except SQLAlchemyError as error:
            self.log.debug("connection not closed", error=sentence(error))


def make_engine(url: URL, reading: bool = False) -> Engine:
    """An engine with one connection whose every call ends, answered or not."""
    dialect = url.get_backend_name()
    if dialect == "sqlite":
        engine = create_engine(url, poolclass=NullPool)
        event.listen(engine, "connect", _prepare_sqlite_reader if reading else _prepare_sqlite)
        event.listen(engine, "begin", _begin_deferred if reading else _begin_immediate)
        return engine
    arguments = {
        "connect_timeout": CONNECT_S,
        "read_timeout": LONGEST_CALL_S,
        "write_timeout": LONGEST_CALL_S,
        "charset": "utf8mb4",
    }
    # one connection for the work, one for the thread that tries whether a server is back
    asked = {name: value for name, value in arguments.items() if name not in url.query}
    engine = create_engine(url, connect_args=asked, poolclass=NullPool)
    if reading:
        event.listen(engine, "connect", _prepare_reader)
    return engine


def _prepare_reader(connection: Any, _record: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET SESSION TRANSACTION READ ONLY")


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # transactions begin when we say so
    connection.text_factory = _lenient
    for pragma in ("journal_mode=WAL", "synchronous=FULL", f"busy_timeout={SQLITE_BUSY_MS}"):
        connection.execute(f"PRAGMA {pragma}")


def _prepare_sqlite_reader(connection: Any, _record: Any) -> None:
    connection.isolation_level = None
    connection.text_factory = _lenient
    for pragma in ("query_only=1", f"busy_timeout={SQLITE_BUSY_MS}"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_deferred(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")


def _lenient(text: bytes) -> str:
    """A text that somebody has stored, UTF-8 or not: no row may make all others unreadable."""
    return text.decode("utf-8", "replace")


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def shown(url: URL) -> str:
    """A URL as it may be shown: without its password."""
    return url.render_as_string(hide_password=True)


@lru_cache(maxsize=4_096)
def as_seconds(value: Any) -> int:
    """A DATETIME as wall seconds; 0 for what is none, such as MySQL's 0000-00-00."""
    try:
        if isinstance(value, str):
            value = datetime.fromisoformat(value)
        return int(value.timestamp())
    except (ValueError, AttributeError, OverflowError, OSError):
        return 0
