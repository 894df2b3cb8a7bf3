"""What the database has answered: question to answer, kept for as long as it may be believed."""

from __future__ import annotations

from proxy.shm import attach as files
from proxy.shm.arena import Arena
from proxy.shm.table import Table


class AnswerTable(Table):
    """A table whose units are negative answers, and which expires in wall seconds."""

    KIND = b"answers"

    @staticmethod
    def create(
        path: str, answers: int, *, seed: int = 0, boot_id: bytes = b"", created_at: int = 0
    ) -> AnswerTable:
        """A new file with room for `answers`."""
        return files.create(
            AnswerTable, path, answers, 400, seed=seed, boot_id=boot_id, created_at=created_at
        )

    @staticmethod
    def attach(path: str, *, boot_id: bytes = b"") -> AnswerTable:
        """Come back to a file after a stop or a crash; ShmError when it cannot be trusted."""
        return files.attach(AnswerTable, path, boot_id)

    @staticmethod
    def over(arena: Arena) -> AnswerTable:
        """The table in a mapping that others use; nothing in it changes."""
        return files.over(AnswerTable, arena)
