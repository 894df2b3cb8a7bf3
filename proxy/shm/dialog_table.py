"""The dialog table: Call-ID and caller's tag to the record of the dialogs of one INVITE."""

from __future__ import annotations

from proxy.shm import attach as files
from proxy.shm import layout
from proxy.shm.arena import Arena
from proxy.shm.table import Table

_LINE = layout.LINE
_UNITS_SUM = layout.BESIDE_LOCK + 8
# The header's words of this kind, behind those of every table.
_EPOCH_AT = layout.OWN_WORDS + 64
_BLOCK_AT = layout.OWN_WORDS + 68
_FIELD = 0xFFFF
ID_BLOCK = 4_096  # ids that a process takes at a time


class DialogTable(Table):
    """A table whose units are two counts, of early dialogs and of active ones."""

    KIND = b"dialog"

    @staticmethod
    def create(
        path: str,
        dialogs: int,
        *,
        bytes_per_dialog: int = 1_500,
        seed: int = 0,
        boot_id: bytes = b"",
        created_at: int = 0,
    ) -> DialogTable:
        """A new file with room for `dialogs` records of `bytes_per_dialog`, all included."""
        return files.create(
            DialogTable,
            path,
            dialogs,
            bytes_per_dialog,
            seed=seed,
            boot_id=boot_id,
            created_at=created_at,
        )

    @staticmethod
    def attach(path: str, *, boot_id: bytes = b"") -> DialogTable:
        """Come back to a file after a stop or a crash; ShmError when it cannot be trusted."""
        return files.attach(DialogTable, path, boot_id)

    @staticmethod
    def over(arena: Arena) -> DialogTable:
        """The table in a mapping that others use; nothing in it changes."""
        return files.over(DialogTable, arena)

    def begin_epoch(self, now: int) -> int:
        """Start a new series of ids, at the time `now` in seconds, before anybody takes any.

        The counter goes on as well: two servers would have to start in the same second of a clock
        that was put back, and one of them with a new file, for an id to come twice.
        """
        epoch = max(self.arena.u32(_EPOCH_AT) + 1, now) & 0xFFFFFFFF
        self.arena.put_u32(_EPOCH_AT, epoch)
        return epoch

    def id_epoch(self) -> int:
        """The series that ids are taken from."""
        return self.arena.u32(_EPOCH_AT)

    def take_ids(self) -> int:
        """The first of ID_BLOCK counters that nobody else gets; a death wastes at most these."""
        while True:
            block = self.arena.u32(_BLOCK_AT)
            if self.arena.swap_u32(_BLOCK_AT, block, block + 1):
                return block * ID_BLOCK

    def gauges(self) -> tuple[int, int]:
        """How many dialogs are early and how many active, as the stripes count them.

        A stripe's sum has room for 65535 of each, and is counted anew after a death.
        """
        early = active = 0
        for line in range(self.stripes_at, self.stripes_at + (self.stripe_mask + 1) * _LINE, _LINE):
            units = self.arena.u64(line + _UNITS_SUM)
            early += units & _FIELD
            active += units >> 16
        return early, active

    def alike(self, hash32: int) -> list[tuple[bytes, bytes, int]]:
        """Key, payload and expiry of all records in the bucket of a key's hash."""
        return self._rows(hash32 & self.bucket_mask, False, 0)
