"""What is known of destinations: which gateway answers, and which does not."""

from __future__ import annotations

from proxy.shm import attach as files
from proxy.shm.arena import Arena
from proxy.shm.table import Table


class DestinationTable(Table):
    """A table whose units are destinations, and which is due when a tombstone may go."""

    KIND = b"destinations"

    @staticmethod
    def create(
        path: str, destinations: int, *, seed: int = 0, boot_id: bytes = b"", created_at: int = 0
    ) -> DestinationTable:
        """A new file with room for `destinations`."""
        return files.create(
            DestinationTable,
            path,
            destinations,
            400,
            seed=seed,
            boot_id=boot_id,
            created_at=created_at,
        )

    @staticmethod
    def attach(path: str, *, boot_id: bytes = b"") -> DestinationTable:
        """Come back to a file after a stop or a crash; ShmError when it cannot be trusted."""
        return files.attach(DestinationTable, path, boot_id)

    @staticmethod
    def over(arena: Arena) -> DestinationTable:
        """The table in a mapping that others use; nothing in it changes."""
        return files.over(DestinationTable, arena)
