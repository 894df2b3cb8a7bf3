"""Records of which only tombstones are left: how much of the table they may take.

They stay until every node has them, so while one is away they add up. What is registered comes
first: when there are too many, or the table is about to be full, those go that every node has, and
then the oldest, whoever lacks them. A node that was away then may bring such a binding back, until
that runs out.
"""

from __future__ import annotations

from proxy.errors import LockTimeout
from proxy.registrar.record import binding_count, highest_version, units_of
from proxy.shm.layout import NOBODY
from proxy.shm.table import Table

SHARE = 4  # one in so many records that the table may hold
LAST = 16  # and none while the last such part of it is in use


def is_crowded(table: Table) -> bool:
    """Whether tombstones may take no more of a location table."""
    return surplus(table) > 0


def surplus(table: Table) -> int:
    """How many records of tombstones should not be there."""
    graves = table.units // NOBODY
    most = table.capacity // SHARE
    room = table.capacity - table.capacity // LAST - table.count
    return max(graves - most, -room)


class Graves:
    """Makes room, a part of the table at a time: one walk to see how old they are, one to act."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.forgotten = 0  # that some node may lack
        self._cursor = 0
        self._before = 0  # versions below this one go
        self._versions: list[int] = []  # of what the present walk has left

    @property
    def under_way(self) -> bool:
        """Whether a walk has begun and not come to its end."""
        return self._cursor != 0

    def turn(self, settled: int, limit: int) -> int:
        """About `limit` records' work; every node has the versions below `settled`.

        How many records have gone.
        """
        table = self.table
        if not is_crowded(table) or table.units < NOBODY:
            self._cursor = self._before = 0
            self._versions.clear()
            return 0
        rows, self._cursor = table.scan(self._cursor, limit)
        removed = 0
        for key, payload in rows:
            count = binding_count(payload)
            if count > 0 and units_of(payload, count) == NOBODY:
                version = highest_version(payload, count)
                if version >= max(settled, self._before):
                    self._versions.append(version)
                elif self._remove(key, payload):
                    removed += 1
                    self.forgotten += version >= settled
        if self._cursor == 0:
            self._before = self._oldest(surplus(table))
        return removed

    def _remove(self, key: bytes, seen: bytes) -> bool:
        payload, stamp = self.table.snapshot(key)
        try:
            return payload == seen and self.table.commit(key, stamp, None, 0, 0)
        except LockTimeout:  # the next walk comes by here
            return False

    def _oldest(self, count: int) -> int:
        """The version below which so many of those lie that were seen."""
        versions, self._versions = sorted(self._versions), []
        if count <= 0 or not versions:
            return 0
        return versions[min(count, len(versions)) - 1] + 1
