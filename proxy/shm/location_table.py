"""The location table: address-of-record to the record of all its bindings."""

from __future__ import annotations

from proxy.shm import attach as files
from proxy.shm import layout
from proxy.shm.arena import Arena
from proxy.shm.table import Table

_LINE = layout.LINE
_UNITS_SUM = layout.BESIDE_LOCK + 8
_NOBODY = layout.NOBODY


class LocationTable(Table):
    """A table whose keys are AoRs and which expires in wall seconds.

    A record's units are its live bindings; NOBODY where there are only tombstones.
    """

    KIND = b"location"

    @staticmethod
    def create(
        path: str,
        aors: int,
        *,
        bytes_per_aor: int = 600,
        seed: int = 0,
        boot_id: bytes = b"",
        created_at: int = 0,
    ) -> LocationTable:
        """A new file with room for `aors` records of `bytes_per_aor`, everything included."""
        return files.create(
            LocationTable,
            path,
            aors,
            bytes_per_aor,
            seed=seed,
            boot_id=boot_id,
            created_at=created_at,
        )

    @staticmethod
    def attach(path: str, *, boot_id: bytes = b"") -> LocationTable:
        """Come back to a file after a stop or a crash; ShmError when it cannot be trusted."""
        return files.attach(LocationTable, path, boot_id)

    @staticmethod
    def over(arena: Arena) -> LocationTable:
        """The table in a mapping that others use; nothing in it changes."""
        return files.over(LocationTable, arena)

    def gauges(self) -> tuple[int, int]:
        """How many AoRs have a live binding, and how many live bindings there are."""
        users = self.count
        contacts = 0
        for line in range(self.stripes_at, self.stripes_at + (self.stripe_mask + 1) * _LINE, _LINE):
            units = self.arena.u64(line + _UNITS_SUM)
            users -= units // _NOBODY
            contacts += units % _NOBODY
        return users, contacts
