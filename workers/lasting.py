"""Tables that outlive the server: attached and verified, resized, or put aside and begun anew."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final, Generic, TypeVar

from proxy.errors import ShmError, ShmRefused
from proxy.shm.table import Table
from workers.logs import Log

BAD_FILES: Final = 3
COPY_BATCH: Final = 1_000
TableType = TypeVar("TableType", bound=Table)


class Lasting(Generic[TableType]):
    """How one kind of table is made, attached, and what a record of it counts for."""

    def __init__(
        self,
        create: Callable[[Path], TableType],
        attach: Callable[[Path], TableType],
        units: Callable[[bytes], int],
    ) -> None:
        self.create = create
        self.attach = attach
        self.units = units

    def open(self, path: Path, capacity: int, log: Log) -> TableType:
        """The table in a file, or a new one; ShmRefused where it may be sound and cannot be had."""
        if not path.exists():
            return self.create(path)
        try:
            table = self.attach(path)
        except ShmRefused:
            raise
        except ShmError as error:
            bad = put_aside(path)
            log.error("table file refused", reason=error, kept_as=bad)
            return self.create(path)
        loaded = table.loaded
        log.info("table attached", file=path, **({} if loaded is None else loaded._asdict()))
        if table.capacity == capacity:
            return table
        return self.resized(table, path, capacity, log)

    def resized(self, table: TableType, path: Path, capacity: int, log: Log) -> TableType:
        """The same records in a table of another capacity; unchanged where they would not fit."""
        if table.count > capacity:
            log.warning(
                "capacity kept",
                reason="more records are there",
                file=path,
                have=table.count,
                want=capacity,
            )
            return table
        beside = Path(f"{path}.new")
        beside.unlink(missing_ok=True)
        larger = self.create(beside)
        copy_records(table.scan, table.expires_at, larger.commit, self.units)
        log.info("table resized", file=path, records=larger.count, capacity=capacity)
        table.close()
        beside.rename(path)
        return larger


def put_aside(path: Path) -> Path:
    """Rename a file that cannot be trusted to `.bad-1`, older ones to `.bad-2` and `.bad-3`."""
    for number in range(BAD_FILES, 1, -1):
        older = Path(f"{path}.bad-{number - 1}")
        if older.exists():
            older.rename(f"{path}.bad-{number}")
    return path.rename(f"{path}.bad-1")


def copy_records(
    scan: Callable[[int, int], tuple[list[tuple[bytes, bytes]], int]],
    expires_at: Callable[[bytes], int],
    commit: Callable[[bytes, int, bytes | None, int, int], bool],
    units: Callable[[bytes], int],
) -> None:
    """Copy every record of one table into an empty one."""
    cursor = 0
    while True:
        records, cursor = scan(cursor, COPY_BATCH)
        for key, payload in records:
            commit(key, 0, payload, expires_at(key), units(payload))
        if cursor == 0:
            return
