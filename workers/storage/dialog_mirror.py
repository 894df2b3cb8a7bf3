"""The rows of `dialog` in one database: the calls of this node that are up."""

from __future__ import annotations

import time
from typing import Final

from proxy.cluster.hlc import HybridClock
from proxy.dialog.decoded import DialogRecord, decode, encode
from proxy.dialog.due import next_due
from proxy.dialog.layout import AT_STATE
from proxy.dialog.profiles import Profiles
from proxy.dialog.record import did_of, is_sound, units_of
from proxy.dialog.rows import STORED, dialog_row, plain_row, read_row, version_of
from proxy.dialog.store import version_of as stored_version
from proxy.errors import CorruptRecord, ShmError
from proxy.shm.dialog_table import ID_BLOCK, DialogTable
from proxy.shm.profile_table import ProfileTable
from proxy.shm.table_ids import DIALOGS
from proxy.storage import statements
from proxy.storage.differences import NOTHING, Difference, Known
from proxy.storage.location_rows import Row
from workers.child import Child
from workers.dialog_tables import intervals_of, join_profiles
from workers.storage.database import BadSchema, Database, Unavailable
from workers.storage.mirror import COUNTER_BITS, Mirror, version_at

PAGE: Final = 1_000  # rows may be large
CLOCK_LEAD_S: Final = 86_400
RETRY_S: Final = 15.0  # before a table that does not fit is looked at again


class DialogMirror(Mirror):
    """One row for each call that is up.

    Whoever else writes to the table has its own node id, unless both nodes know the same calls.
    """

    rows = statements.DIALOG
    page_rows = PAGE
    is_vital = False

    def __init__(
        self, child: Child, database: Database, dialogs: DialogTable, profiles: ProfileTable
    ) -> None:
        super().__init__(child, database, DIALOGS, dialogs)
        settings = child.config.dialog
        self.dialogs = dialogs
        self.members = profiles
        self.declared = Profiles(profiles, settings.profiles, settings.profiles_no_value)
        self.node = child.config.node.id
        self.knows_others = child.config.replicates("dialogs")
        self.intervals = intervals_of(settings)
        self.clock = HybridClock()
        self.rewrite = False  # every call that is up, and no other row is left
        self.next_id = self.ids_end = 0

    def difference(self, key: bytes, payload: bytes | None) -> Difference | None:
        """One row, as long as the call is up."""
        had = self.known.get(key, NOTHING)
        if payload is None or not self._is_up(payload):
            return Difference([], list(had.identities), None) if had.identities else None
        version = stored_version(payload)
        if version == had.version and len(had.identities) == 1:
            return None
        try:
            row = dialog_row(decode(key, payload))
        except CorruptRecord as error:
            self.refuse("row refused", key, error)
            return None
        identity = row["dlg_id"]
        gone = [each for each in had.identities if each != identity]
        return Difference([row], gone, Known(version, (identity,)))

    @staticmethod
    def _is_up(payload: bytes | None) -> bool:
        return payload is not None and is_sound(payload) and payload[AT_STATE] in STORED

    def unusable(self, error: BadSchema) -> Unavailable:
        """Phones go on being written; this table is tried again from time to time."""
        if self.current or not self.retry_at:
            self.child.log.error("dialogs not written", database=self.database.name, error=error)
        self.forget()
        self.retry_at = time.monotonic() + RETRY_S
        return Unavailable(str(error))

    def plain_row(self, row: Row) -> Row:
        """The row in ASCII."""
        return plain_row(row)

    def catch_up(self) -> None:
        """Find out which rows there are; to be rewritten, they count as old."""
        super().catch_up()
        for key, known in list(self.known.items()) if self.rewrite else ():
            if self._is_up(self.table.snapshot(key)[0]):
                self.known[key] = Known(0, known.identities)
        self.rewrite = False

    def remember(self, row: Row) -> None:
        """Note a row, unless it is another node's or makes no sense: such are left alone."""
        try:
            record = read_row(row)
        except CorruptRecord:
            if self.rewrite:
                identity = int(row["dlg_id"])
                self.known[b"\0%d" % identity] = Known(version_of(row), (identity,))
            return
        self._remember(record, row)

    def _remember(self, record: DialogRecord, row: Row) -> bool:
        if record.owner not in (0, self.node) and not self.knows_others:
            return False
        had = self.known.get(record.key, NOTHING)
        self.known[record.key] = Known(version_of(row), (*had.identities, int(row["dlg_id"])))
        return True

    def take_over(self, rows: list[Row], trusted_until: int) -> int:
        """Bring back calls that were up; those whose lifetime is over are ended by the sweep."""
        changed = 0
        for row in rows:
            try:
                record = read_row(row)
                if self._remember(record, row) and record.state in STORED:
                    changed += self._bring_back(record, trusted_until)
            except (CorruptRecord, ShmError) as error:
                self.refuse("row not loaded", str(row["callid"]).encode(), error)
        return changed

    def _bring_back(self, record: DialogRecord, trusted_until: int) -> bool:
        now = int(time.time())
        if record.version > version_at(now + CLOCK_LEAD_S):
            raise CorruptRecord("a row of dialog comes from a clock that is wrong")
        while True:
            payload, stamp = self.table.snapshot(record.key)
            if payload is not None and is_sound(payload):
                if stored_version(payload) >= record.version:
                    return False
            elif 0 < record.version and seconds_of(record.version) <= trusted_until:
                return False  # the table knew it, and that it has ended
            if not record.version:
                self._adopt(record, now)
            record.due = next_due(record, now, self.intervals)
            made = encode(record)
            if self.table.commit(record.key, stamp, made, record.due, units_of(made[AT_STATE])):
                break
        hash32 = self.table.hash_of(record.key)
        join_profiles(self.members, self.declared, record, did_of(made), hash32, now)
        return True

    def _adopt(self, record: DialogRecord, now: int) -> None:
        """A call of OpenSIPS becomes ours: an id, an owner, a version, and so a new row."""
        if self.next_id == self.ids_end:
            self.next_id = self.dialogs.take_ids()
            self.ids_end = self.next_id + ID_BLOCK
        record.node = record.owner = self.node
        record.epoch, record.counter = self.dialogs.id_epoch(), self.next_id
        self.next_id += 1
        record.version = self.clock.tick(now * 1_000, 0)


def seconds_of(version: int) -> int:
    """The wall seconds of a version."""
    return (version >> COUNTER_BITS) // 1_000
