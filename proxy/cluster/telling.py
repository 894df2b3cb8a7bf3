"""What has changed at our edge and is told now: frames, filled record by record.

A busy node tells a hundred thousand changes a second. Objects for each of them, kept until its
frame is full, would cost more than everything else that is done with them.
"""

from __future__ import annotations

from collections.abc import Mapping
from zlib import crc32

import cython

from proxy.cluster.backlog import add_note
from proxy.cluster.digests import SAME_REST, Digests, hash_bytes
from proxy.cluster.form import Form
from proxy.cluster.frames import add_record
from proxy.limits import bounds
from proxy.sip.draft import Draft

if not cython.compiled:
    from proxy.shm.words import put_u32, put_u64

Batch = tuple[int, bytes, int, int, int]  # where it ends, body, its checksum, records, brief ones

_HEAD = bytes(12)  # what a batch begins with: the position it follows, and how many records
_COUNT_AT = 8
_SAME_REST = SAME_REST
_BATCH_RECORDS = bounds.BATCH_RECORDS
_BATCH_BYTES = bounds.BATCH_BYTES


class Telling:
    """The changes of one turn: their batches by the position they follow, and their notes."""

    def __init__(self, digests: Digests, forms: Mapping[int, Form], disabled: set[int]) -> None:
        self.digests = digests
        self.forms = forms
        self.disabled = disabled  # tables that nobody is told of
        self.batches: dict[int, Batch] = {}
        self.count = 0  # of changes
        self.start = 0  # the position of the first one
        self._notes = Draft()
        self._batch = Draft()
        self._after = self._records = self._briefs = 0  # of the batch that is being filled
        self._form: Form | None = None
        self._table = 0
        self._key = b""
        self._name = 0

    def begin(self, start: int) -> None:
        """A new turn: its first change will have the position `start`."""
        self.batches.clear()
        self._notes.begin()
        self.count = 0
        self.start = start
        self._open()

    def name(self, table: int, key: bytes) -> int:
        """Which record comes next. What is known of it is fetched while its state is read."""
        if self._form is None or table != self._table:
            self._form = self.forms[table]
            self._table = table
        self._key = key
        self._name = hash_bytes(key, table)
        self.digests.warm(self._name)
        return 0

    def state(self, body: bytes | None) -> int:
        """Its state, None when it is gone: told if it is news.

        What ran out is told to nobody: each node's own clock sees to that.
        """
        form = self._form
        assert form is not None
        if body is None:
            self.digests.put(self._name, 0, 0, 0)
            return 0
        form.look(body)
        rest = form.rest(body)
        found = self.digests.put(self._name, form.live, form.dead, rest)
        if found:
            self._tell(form.brief(body, rest) if found == _SAME_REST else body)
            self._briefs += found == _SAME_REST
        return 0

    def _tell(self, body: bytes) -> int:
        add_note(self._notes, self._table, self._key)
        self.count += 1
        if self._table not in self.disabled:
            add_record(self._batch, self._table, self._key, body)
            self._records += 1
        if (
            self.start + self.count - self._after == _BATCH_RECORDS
            or self._batch.used >= _BATCH_BYTES
        ):
            self._close()
        return 0

    def end(self) -> bytes:
        """The turn is over; the notes of its changes, as a backlog keeps them."""
        if self.start + self.count > self._after:
            self._close()
        return self._notes.take()

    def _open(self) -> int:
        self._after = self.start + self.count
        self._records = self._briefs = 0
        self._batch.begin()
        self._batch.add(_HEAD)
        return 0

    def _close(self) -> int:
        """The batch is full, or the turn is over."""
        upto = self.start + self.count
        p = self._batch.room
        put_u64(p, 0, self._after)
        put_u32(p, _COUNT_AT, self._records)
        body = self._batch.take()
        self.batches[self._after] = (upto, body, crc32(body), self._records, self._briefs)
        self._open()
        return 0
