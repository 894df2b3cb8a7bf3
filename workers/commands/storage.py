"""Commands about databases: OpenSIPS' `ul_flush`, `ul_sync`, db_virtual's `db_get` and `db_set`."""

from __future__ import annotations

from typing import Any, Final

import orjson

from proxy.storage.kinds import Kind, Question, encode_question
from workers.commands.command import INVALID_PARAMS, CommandError, Group, command
from workers.questions import storage_mailbox

SERVER_ERROR: Final = 500
PATIENCE_S: Final = 8.0


class Databases(Group):
    """What the storage process does and says."""

    @command
    def db_status(self) -> dict[str, Any]:
        """Show the databases: which are up, in use, current, and how much is yet to be written."""
        text = self._child.tables.storage.read()
        if not self._child.config.uses_storage or not text:
            raise CommandError(SERVER_ERROR, "No database is in use")
        status: dict[str, Any] = orjson.loads(text)
        return status

    @command
    def db_get(self) -> dict[str, Any]:
        """Show the databases as OpenSIPS' db_virtual does."""
        status = self.db_status()
        urls = [
            {"index": number, "flags": 1 if row["state"] == "up" else 0, "may_use": row["allowed"]}
            | {"name": row["url"]}
            for number, row in enumerate(status["databases"])
        ]
        return {"SET": [{"index": 0, "mode": status["policy"].upper(), "URLS": urls}]}

    @command
    def db_set(
        self, set_index: int, db_url_index: int, may_use_db_flag: int, ignore_retries: int = 0
    ) -> str:
        """Forbid the use of a database or allow it; `ignore_retries=1` tries it at once."""
        if set_index != 0 or not 0 <= db_url_index < len(self._child.config.storage.urls):
            raise CommandError(INVALID_PARAMS, "Invalid params: there is no such database")
        if may_use_db_flag not in {0, 1} or ignore_retries not in {0, 1}:
            raise CommandError(INVALID_PARAMS, "Invalid params: flags are 0 or 1")
        self.db_status()
        fields: list[bytes | None] = [
            str(number).encode() for number in (db_url_index, may_use_db_flag, ignore_retries)
        ]
        self._tell(Kind.SET_DATABASE, fields)
        return "OK"

    @command
    def ul_flush(self) -> str:
        """Write what has changed to the database now."""
        return self._await_flush(Kind.FLUSH)

    @command
    def ul_sync(self, table_name: str = "location", aor: str = "") -> str:
        """Compare the database with the table and put right what differs."""
        if table_name != "location":
            raise CommandError(404, "Table not found")
        return self._await_flush(Kind.SYNC)

    @command
    def dlg_db_sync(self) -> str:
        """Load the calls that the database has and the table of calls has not."""
        return self._await_dialogs(Kind.SYNC_DIALOGS)

    @command
    def dlg_restore_db(self) -> str:
        """Write all calls that are up to the database anew, and delete all other rows."""
        return self._await_dialogs(Kind.RESTORE_DIALOGS)

    def _await_dialogs(self, kind: Kind) -> str:
        if not self._child.config.dialog.is_stored:
            raise CommandError(SERVER_ERROR, "Calls are not stored: [dialog] db_mode is none")
        return self._await_flush(kind)

    def _await_flush(self, kind: Kind) -> str:
        before = self.db_status()["flushes"]
        self._tell(kind, [])

        def flushed() -> dict[str, Any] | None:
            status = self.db_status()
            return status if status["flushes"] != before else None

        status = self._await(flushed, PATIENCE_S)
        if status is None:
            raise CommandError(SERVER_ERROR, "The storage process does not answer")
        if status["pending"] or not status["written"]:
            left = f"{status['pending']} records not written"
            raise CommandError(SERVER_ERROR, f"No database can be used: {left}")
        return "OK"

    def _tell(self, kind: Kind, fields: list[bytes | None]) -> None:
        if not storage_mailbox(self._child).put(encode_question(Question(kind, 0, 0, fields))):
            raise CommandError(SERVER_ERROR, "The storage process has too much to do")
