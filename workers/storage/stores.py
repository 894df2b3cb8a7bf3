"""Several databases as one: db_virtual's job, with fail-back and without losing writes.

failover: the first that is well is used, and an earlier one again as soon as it is back.
parallel: all that are well are written; reads go to the first of them.
round-robin: as failover, for databases that replicate among themselves; reads take turns.

A database that was away, or not in use, is compared with the table before it counts as current.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from sqlalchemy import Connection
from sqlalchemy.sql.expression import Executable

from proxy.shm.change_reader import Change
from proxy.storage.modes import WRITE_BACK, WRITE_THROUGH
from workers.child import Child
from workers.storage.database import Database, Unavailable
from workers.storage.dialog_mirror import DialogMirror
from workers.storage.location_mirror import LocationMirror
from workers.storage.mirror import Mirror

Result = TypeVar("Result")


class Store:
    """One database, and what is mirrored in it."""

    def __init__(self, database: Database, mirrors: list[Mirror]) -> None:
        self.database = database
        self.mirrors = mirrors

    @property
    def pending(self) -> int:
        """How many records have yet to be written."""
        return sum(len(mirror.pending) for mirror in self.mirrors)

    @property
    def is_current(self) -> bool:
        """Whether it holds everything."""
        return all(mirror.current and not mirror.pending for mirror in self.mirrors)

    def is_lost_by(self, mirror: Mirror) -> bool:
        """Whether a mirror that could not be used makes the whole database useless."""
        return mirror.is_vital or bool(self.database.breaker.failures)


class Stores:
    """The databases of a node, in the order of their URLs."""

    def __init__(self, child: Child) -> None:
        settings = child.config.storage
        self.child = child
        self.policy = settings.policy
        self.databases = [Database(url, child.log) for url in settings.urls]
        self.stores = [Store(each, mirrors_of(child, each)) for each in self.databases]
        self.active: list[Store] = []
        self.loaded: set[int] = set()
        self._turn = 0

    # -- questions -------------------------------------------------------------------------------

    def fetch(self, statement: Executable, **values: Any) -> Sequence[Any]:
        """The rows of a query, from whichever database can answer; Unavailable when none can."""
        return self._first(lambda database: database.fetch(statement, **values))

    def transaction(self, work: Callable[[Connection], Result]) -> Result:
        """A transaction on the database in use; Unavailable when there is none."""
        return self._first(lambda database: database.transaction(work), rotate=False)

    def _first(self, ask: Callable[[Database], Result], rotate: bool = True) -> Result:
        order = self.databases
        if self.policy == "round-robin" and rotate:
            self._turn = (self._turn + 1) % len(order)
            order = order[self._turn :] + order[: self._turn]
        reason = Unavailable("no database may be asked")
        for database in order:
            try:
                return ask(database)
            except Unavailable as error:
                reason = error
        raise reason

    # -- mirrors ---------------------------------------------------------------------------------

    @property
    def mirrors(self) -> list[Mirror]:
        """Every mirror in every database."""
        return [mirror for store in self.stores for mirror in store.mirrors]

    def choose(self, trusted: dict[int, int]) -> bool:
        """See which databases are to be written to, and bring them up to date; any left?

        `trusted` says of each table until when it knows everything.
        """
        wanted: list[Store] = []
        for store in self.stores:
            if store.database.is_well() and self._bring_in(store, trusted):
                wanted.append(store)
                if self.policy != "parallel":
                    break
        for store in self.stores:
            if store not in wanted and wanted and self.policy != "parallel":
                for mirror in store.mirrors:  # it misses what the others are told from now on
                    mirror.forget()
        self.active = wanted
        return bool(wanted)

    def _bring_in(self, store: Store, trusted: dict[int, int]) -> bool:
        for mirror in store.mirrors:
            if mirror.current and store in self.active:
                continue
            if mirror.retry_at > time.monotonic():
                continue
            try:
                self._bring_up_to_date(mirror, trusted)
            except Unavailable:
                if store.is_lost_by(mirror):
                    return False
        return True

    def _bring_up_to_date(self, mirror: Mirror, trusted: dict[int, int]) -> None:
        if mirror.table_id not in self.loaded:
            changed = mirror.load(trusted[mirror.table_id])
            self.loaded.add(mirror.table_id)
            self.child.log.info(
                "rows loaded",
                table=mirror.rows.table.name,
                database=mirror.database.name,
                records=changed,
            )
        elif not mirror.current:
            mirror.catch_up()
        mirror.flush()
        mirror.retry_at = 0.0

    def rewrite_dialogs(self) -> None:
        """Have every call that is up written anew, and every other row deleted."""
        for mirror in self.mirrors:
            if isinstance(mirror, DialogMirror):
                mirror.rewrite = True
                mirror.retry_at = 0.0
                mirror.forget()

    def load_again(self, table_id: int, trusted_until: int) -> None:
        """Load what the databases in use have of a table."""
        for store in self.active:
            for mirror in store.mirrors:
                if mirror.table_id == table_id:
                    with suppress(Unavailable):
                        mirror.load(trusted_until)

    def note(self, changes: list[Change]) -> None:
        """Tell every database in use, and those that are merely away, what has changed."""
        for mirror in self.mirrors:
            if mirror.current:
                mine = [change for change in changes if change.table == mirror.table_id]
                mirror.note([change.key for change in mine if change.stripe < 0])
                for change in mine:
                    if change.stripe >= 0:
                        mirror.note_stripe(change.stripe)

    def note_all(self) -> None:
        """Changes were missed: compare everything."""
        for mirror in self.mirrors:
            if mirror.current:
                mirror.note_all()

    def flush(self, tables: set[int]) -> bool:
        """Write what is pending of these tables; whether every database in use has it now."""
        written = bool(self.active)
        for store in self.active:
            for mirror in store.mirrors:
                if mirror.table_id not in tables or not mirror.current:
                    continue
                try:
                    mirror.flush()
                except Unavailable:
                    written = written and not store.is_lost_by(mirror)
        if written:
            return True
        left = [store for store in self.active if not store.database.breaker.failures]
        if left and self.policy == "parallel":  # what the others missed, they are told later
            self.active = left
            return True
        return False

    @property
    def is_whole(self) -> bool:
        """Whether every table can be written to in all databases in use."""
        return all(mirror.current for store in self.active for mirror in store.mirrors)

    @property
    def pending(self) -> int:
        """How many records have yet to be written."""
        return max([store.pending for store in self.stores], default=0)

    def status(self) -> list[dict[str, Any]]:
        """What `db_status` shows."""
        return [
            {
                "url": store.database.name,
                "state": "up" if not store.database.breaker.failures else "down",
                "allowed": store.database.breaker.allowed,
                "in_use": store in self.active,
                "current": store.is_current,
                "pending": store.pending,
                "repeated": store.database.repeated,
                "error": store.database.last_error,
            }
            for store in self.stores
        ]

    def close(self) -> None:
        """Let go of all connections."""
        for database in self.databases:
            database.close()


def mirrors_of(child: Child, database: Database) -> list[Mirror]:
    """What is to be kept in a database."""
    mirrors: list[Mirror] = []
    if child.config.storage.mode in {WRITE_BACK, WRITE_THROUGH}:
        mirrors.append(LocationMirror(child, database))
    dialogs, profiles = child.tables.dialogs, child.tables.profiles
    if child.config.dialog.is_stored and dialogs is not None and profiles is not None:
        mirrors.append(DialogMirror(child, database, dialogs, profiles))
    return mirrors
