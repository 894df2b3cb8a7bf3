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
from proxy.dialog.states import EndReason, Event, State
from proxy.dialog.tracker import Tracker
from proxy.errors import CorruptRecord
from proxy.limits import counters
from proxy.shm.words import get_u32, put_u32
from workers.cdr_file import CdrFile
from workers.child import Child
from workers.errands import Errand, send_to_owner

BATCH: Final = 200  # dialogs between two heartbeats, and lines of one write
AGAIN_S: Final = 5  # before a file that could not be written is tried again
REQUEST_TIMEOUT: Final = 408


class Lifetimes:
    """What one timekeeper does about dialogs."""

    def __init__(
        self, child: Child, tracker: Tracker, file: CdrFile | None, variables: Iterable[str] = ()
    ) -> None:
        self._child = child
        self._tracker = tracker
        self._store = tracker.store
        self._counters = child.tables.slots.counters(child.slot)
        self._file = file
        self._variables = [name.encode() for name in variables]
        self._write_at = 0

    def turn(self, now: int) -> None:
        """See to everything that is due at `now`, wall-clock seconds."""
        cursor = 0
        while True:
            keys, cursor = self._store.table.due(now, cursor, BATCH)
            ended: list[tuple[Dialog, DialogRecord]] = []
            for key in keys:
                dialog = self._tracker.open(key)
                if dialog is not None and get_u32(dialog.payload, at.AT_DUE) <= now:
                    self._see_to(dialog, now, ended)
            if ended and now >= self._write_at and not self._close(ended):
                self._write_at = now + AGAIN_S
            self._child.beat()
            if cursor == 0:
                return

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()

    def _see_to(
        self, dialog: Dialog, now: int, ended: list[tuple[Dialog, DialogRecord]]
    ) -> None:
        try:
            record = dialog.record()
        except CorruptRecord:  # it could be read a moment ago: nothing can be said about it
            self._store.remove(dialog.key, dialog.stamp)
            self._counters.add(counters.CORRUPT_RECORDS)
            return
        if may_be_removed(record, now, self._store.rules.intervals):
            ended.append((dialog, record))
        elif is_abandoned(record):
            dialog.end(Event.GONE, EndReason.SETUP_TIMEOUT, REQUEST_TIMEOUT)
        else:
            send_to_owner(self._child, record.call_id, Errand.DIALOG, dialog.key)

    def _close(self, ended: list[tuple[Dialog, DialogRecord]]) -> bool:
        """Write the records of ended dialogs, then remove the dialogs; False: they stay."""
        sealed = [(dialog, record) for dialog, record in ended if self._seal(dialog)]
        if self._file is not None and not self._write(self._file, [each for _, each in sealed]):
            return False
        for dialog, record in sealed:
            self._store.remove(dialog.key, dialog.stamp)
            if self._child.log.enabled("debug"):
                self._child.log.debug("call ended", **call_detail(record, self._variables))
        return True

    def _write(self, file: CdrFile, records: list[DialogRecord]) -> bool:
        file.open()  # it says what has been written lately
        details = [
            call_detail(record, self._variables) for record in records if not file.has(record.did)
        ]
        if not details:
            return True
        if not file.append(details):
            self._counters.add(counters.CDR_FAILURES)
            self._child.log.error(
                "call detail records wait", file=file.path, reason=file.failure, calls=len(records)
            )
            return False
        self._counters.add(counters.CDR_WRITTEN, len(details))
        return True

    def _seal(self, dialog: Dialog) -> bool:
        """Make sure that a late 2xx cannot bring it back to life; False if one has just done so."""
        flags = get_u32(dialog.payload, at.AT_FLAGS)
        if flags & at.SEALED:
            return True
        draft = bytearray(dialog.payload)
        put_u32(draft, at.AT_FLAGS, flags | at.SEALED)
        stamp = self._store.write(dialog.key, dialog.stamp, bytes(draft))
        if stamp <= at.REFUSED:
            return False
        dialog.payload, dialog.stamp = bytes(draft), stamp
        return True


def is_abandoned(record: DialogRecord) -> bool:
    """Whether a call was being set up, and its INVITE has been forgotten by all."""
    early = record.state in (State.UNCONFIRMED, State.EARLY)
    return early and not record.flags & at.END_WANTED


