"""The location table: address-of-record to the record of all its bindings."""

from __future__ import annotations

from proxy.shm import attach as files
from proxy.shm.table import Table


class LocationTable(Table):
    """A table whose keys are AoRs, whose units are bindings, and which expires in wall seconds."""

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
