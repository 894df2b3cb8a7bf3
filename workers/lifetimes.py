"""Lets the time of dialogs pass: what is due is told to the worker of the call, or ends here.

The timekeeper finds dialogs that are due. A call belongs to the worker that owns its Call-ID, so
that one is told to look at it, again and again until the record says that it has. A call whose
set-up nobody works on any more has ended. An ended one is removed once its record is in the file.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from proxy.dialog import layout as at
from proxy.dialog.call_detail import call_detail
from proxy.dialog.decoded import DialogRecord
from proxy.dialog.dialog import Dialog
from proxy.dialog.due import may_be_removed
from proxy.dialog.store import version_of
from proxy.dialog.sweep import Sweep
from proxy.dialog.tracker import Tracker
from proxy.limits import counters
from proxy.shm.words import get_u32, put_u32
from workers.cdr_file import CdrFile
from workers.child import Child
from workers.errands import Errand, send_to_owner

AGAIN_S: Final = 5  # before a file that could not be written is tried again


class Lifetimes(Sweep):
    """The sweep of one timekeeper, whose ends are calls' ends."""

    def __init__(
        self, child: Child, tracker: Tracker, file: CdrFile | None, variables: Iterable[str] = ()
    ) -> None:
        super().__init__(tracker)
        self._child = child
        self._log = child.log
        self._store = tracker.store
        self._file = file
        self._variables = [name.encode() for name in variables]
        self._write_at = 0
        self._ended: list[tuple[Dialog, DialogRecord]] = []

    def see_to(self, key: bytes) -> None:
        """One dialog that is due: most have ended, and nobody wants to know more of them."""
        if self._file is not None or self._log.enabled("debug") or not self._store.clear(key):
            super().see_to(key)

    def due_live(self, dialog: Dialog) -> None:
        """Something is due in a live dialog: tell the worker of its Call-ID."""
        send_to_owner(self._child, dialog.call_id, Errand.DIALOG, dialog.key)

    def due_ended(self, dialog: Dialog) -> None:
        """An ended dialog is due: to be removed, or because BYEs of ours have no answer."""
        record = dialog.record()
        if may_be_removed(record, self._store.wall, self._store.rules.intervals):
            self._ended.append((dialog, record))
        else:
            self.due_live(dialog)

    def take_breath(self) -> None:
        """A batch has been looked at."""
        ended, self._ended = self._ended, []
        now = self._store.wall
        if ended and now >= self._write_at and not self._close(ended):
            self._write_at = now + AGAIN_S
        self._child.pause()

    def _close(self, ended: list[tuple[Dialog, DialogRecord]]) -> bool:
        """Write the records of ended dialogs, then remove the dialogs; False: they stay."""
        sealed = [(dialog, record) for dialog, record in ended if self._seal(dialog)]
        if self._file is not None and not self._write(self._file, [each for _, each in sealed]):
            return False
        for dialog, record in sealed:
            self._store.let_go(dialog.key, dialog.stamp, dialog.payload)
            if self._log.enabled("debug"):
                self._log.debug("call ended", **call_detail(record, self._variables))
        return True

    def _write(self, file: CdrFile, records: list[DialogRecord]) -> bool:
        file.open()  # it says what has been written lately
        details = [
            call_detail(record, self._variables) for record in records if not file.has(record.did)
        ]
        if not details:
            return True
        if not file.append(details):
            self._store.counters.add(counters.CDR_FAILURES, 1)
            self._log.error(
                "call detail records wait", file=file.path, reason=file.failure, calls=len(records)
            )
            return False
        self._store.counters.add(counters.CDR_WRITTEN, len(details))
        return True

    def _seal(self, dialog: Dialog) -> bool:
        """Make sure that a late 2xx cannot bring it back to life; False if one has just done so."""
        flags = get_u32(dialog.payload, at.AT_FLAGS)
        if flags & at.SEALED:
            return True
        draft = bytearray(dialog.payload)
        put_u32(draft, at.AT_FLAGS, flags | at.SEALED)
        sealed = self._store.sealed(draft, version_of(dialog.payload))
        stamp = self._store.write(dialog.key, dialog.stamp, sealed)
        if stamp <= at.REFUSED:
            return False
        dialog.payload, dialog.stamp = sealed, stamp
        return True
