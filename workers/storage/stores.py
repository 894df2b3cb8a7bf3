"""Several databases as one: db_virtual's job, with fail-back and without losing writes.

failover: the first that is well is used, and an earlier one again as soon as it is back.
parallel: all that are well are written; reads go to the first of them.
round-robin: as failover, for databases that replicate among themselves; reads take turns.

A database that was away, or not in use, is compared with the table before it counts as current.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection
from sqlalchemy.sql.expression import Executable

from proxy.shm.change_reader import Change
from workers.child import Child
from workers.storage.database import Database, Unavailable
from workers.storage.mirror import Mirror

Result = TypeVar("Result")


class Stores:
    """The databases of a node, in the order of their URLs."""

    def __init__(self, child: Child) -> None:
        settings = child.config.storage
        self.child = child
        self.policy = settings.policy
        self.databases = [Database(url, child.log) for url in settings.urls]
        self.mirrors = [Mirror(child, database) for database in self.databases]
        self.active: list[Mirror] = []
        self.loaded = False
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

    def choose(self, trusted_until: int) -> bool:
        """See which databases are to be written to, and bring them up to date; any left?"""
        wanted: list[Mirror] = []
        for mirror in self.mirrors:
            if not mirror.database.is_well():
                continue
            if mirror in self.active or self._bring_in(mirror, trusted_until):
                wanted.append(mirror)
            if wanted and self.policy != "parallel":
                break
        for mirror in self.mirrors:
            if mirror not in wanted and wanted and self.policy != "parallel":
                mirror.current = False  # it misses what the others are told from now on
                mirror.known, mirror.pending = {}, {}
        self.active = wanted
        return bool(wanted)

    def _bring_in(self, mirror: Mirror, trusted_until: int) -> bool:
        try:
            if not self.loaded:
                changed = mirror.load(trusted_until)
                self.loaded = True
                self.child.log.info(
                    "location loaded", database=mirror.database.name, records=changed
                )
            elif not mirror.current:
                mirror.catch_up()
            mirror.flush()
        except Unavailable:
            return False
        return True

    def note(self, changes: list[Change]) -> None:
        """Tell every database in use, and those that are merely away, what has changed."""
        for mirror in self.mirrors:
            if mirror.current:
                mirror.note(change.key for change in changes if change.stripe < 0)
                for change in changes:
                    if change.stripe >= 0:
                        mirror.note_stripe(change.stripe)

    def note_all(self) -> None:
        """Changes were missed: compare everything."""
        for mirror in self.mirrors:
            if mirror.current:
                mirror.note_all()

    def flush(self) -> bool:
        """Write what is pending to all in use; whether every one of them has it now."""
        written = bool(self.active)
        for mirror in self.active:
            try:
                mirror.flush()
            except Unavailable:
                written = False
        if written:
            return True
        left = [mirror for mirror in self.active if not mirror.database.breaker.failures]
        if left and self.policy == "parallel":  # what the others missed, they are told later
            self.active = left
            return True
        return False

    @property
    def pending(self) -> int:
        """How many records have yet to be written."""
        return max([len(mirror.pending) for mirror in self.mirrors], default=0)

    def status(self) -> list[dict[str, Any]]:
        """What `db_status` shows."""
        return [
            {
                "url": mirror.database.name,
                "state": "up" if not mirror.database.breaker.failures else "down",
                "allowed": mirror.database.breaker.allowed,
                "in_use": mirror in self.active,
                "current": mirror.current and not mirror.pending,
                "pending": len(mirror.pending),
                "error": mirror.database.last_error,
            }
            for mirror in self.mirrors
        ]

    def close(self) -> None:
        """Let go of all connections."""
        for database in self.databases:
            database.close()
