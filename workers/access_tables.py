"""The shared files about users: what the database has answered, nonces in use, small lists.

All three outlive the server, so that it can start while the database is away.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from proxy.errors import ShmError, ShmRefused
from proxy.shm.answer_table import AnswerTable
from proxy.shm.nonce_table import NonceTable
from proxy.shm.row_page import RowPage
from workers.lasting import put_aside
from workers.logs import Log
from workers.settings import Auth, Config

ANSWERS: Final = "answers.table"
NONCES: Final = "nonces.table"
LISTS: Final = "lists.page"
DOMAINS: Final = 0
ADDRESSES: Final = 1
LIST_COUNT: Final = 2

File = TypeVar("File", AnswerTable, NonceTable, RowPage)


@dataclass(slots=True)
class AccessTables:
    """What the workers share of the database's tables about users, domains and addresses."""

    answers: AnswerTable
    lists: RowPage
    nonces: NonceTable | None  # None: nobody is asked who they are

    def close(self, clean: bool) -> None:
        """Let go of the files."""
        self.answers.close(clean=clean)
        self.lists.close()
        if self.nonces is not None:
            self.nonces.close()


def open_access(config: Config, boot_id: bytes, log: Log) -> AccessTables | None:
    """Attach or create the files; None where no database is used."""
    auth, list_bytes = config.auth, config.storage.list_bytes
    if not config.uses_storage:
        return None
    folder = config.node.runtime_dir
    now_ms = time.time_ns() // 1_000_000

    def new_answers(path: str) -> AnswerTable:
        seed = secrets.randbits(63)
        return AnswerTable.create(
            path, auth.cache, seed=seed, boot_id=boot_id, created_at=now_ms // 1_000
        )

    def old_answers(path: str) -> AnswerTable:
        return AnswerTable.attach(path, boot_id=boot_id)

    def new_nonces(path: str) -> NonceTable:
        return NonceTable.create(path, auth.nonces, auth.nonce_lifetime * 1_000, now_ms)

    def new_lists(path: str) -> RowPage:
        return RowPage.create(path, LIST_COUNT, list_bytes)

    answers = _open(folder / ANSWERS, old_answers, new_answers, log)
    lists = _open(folder / LISTS, RowPage.attach, new_lists, log)
    if answers.capacity != auth.cache:
        answers = _anew(answers, folder / ANSWERS, new_answers)
    if lists.room < list_bytes:
        lists = _anew(lists, folder / LISTS, new_lists)
    if not auth.enabled:
        return AccessTables(answers, lists, None)
    nonces = _open(folder / NONCES, NonceTable.attach, new_nonces, log)
    if not _fits(nonces, auth):
        nonces = _anew(nonces, folder / NONCES, new_nonces)
    return AccessTables(answers, lists, nonces)


def _fits(nonces: NonceTable, auth: Auth) -> bool:
    """Whether a file of nonces is as large as configured, and forgets as soon."""
    half_too_large = nonces.capacity >= 2 * max(auth.nonces, 10)
    same = nonces.lifetime_ms == auth.nonce_lifetime * 1_000
    return same and nonces.capacity >= auth.nonces and not half_too_large


def _open(
    path: Path, attach: Callable[[str], File], create: Callable[[str], File], log: Log
) -> File:
    """An old file where it can be trusted, else a new one; nothing in it cannot be had again."""
    if path.exists():
        try:
            return attach(str(path))
        except ShmRefused:
            raise
        except ShmError as error:
            log.error("table file refused", reason=error, kept_as=put_aside(path))
    return create(str(path))


def _anew(old: File, path: Path, create: Callable[[str], File]) -> File:
    old.close()
    path.unlink()
    return create(str(path))
