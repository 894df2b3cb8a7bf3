"""sql-only in the storage process: each REGISTER is one transaction, each lookup one query.

The rows of the AoR are put into a table of this process's own, the registrar does what it always
does, and the difference is written. Rows are locked from the first read to the commit.
"""

from __future__ import annotations

import time
from typing import Final

from sqlalchemy import Connection, delete

from proxy.cluster.hlc import HybridClock
from proxy.errors import BadMessage, CorruptRecord
from proxy.registrar.binding import Binding, decode, encode
from proxy.registrar.commit import commit_bindings
from proxy.registrar.save import RegisterResult, save
from proxy.shm.location_table import LocationTable
from proxy.sip.address import address_from
from proxy.sip.message import Message, parse
from proxy.sip.uri import aor_key, parse_uri
from proxy.storage import schema, statements
from proxy.storage.differences import Known, difference
from proxy.storage.kinds import Question, Status
from proxy.storage.location_rows import WIDTHS, RowReader, split_aor
from workers.child import Child
from workers.registrar_rules import rules_of
from workers.storage.answers import Answerer
from workers.storage.database import BadStatement, Unavailable, as_seconds
from workers.storage.mirror import default_domain, version_at
from workers.storage.row_writer import RowWriter, as_time
from workers.storage.stores import Stores
from workers.tables import private_location

SWEEP_S: Final = 10.0


class SqlOnly:
    """REGISTERs and lookups on the database in use."""

    def __init__(self, child: Child, stores: Stores, answerer: Answerer) -> None:
        self.child = child
        self.stores = stores
        self.answerer = answerer
        self.rules = rules_of(child)
        self.clock = HybridClock()
        self.reader = RowReader(default_domain(child), as_seconds)
        self.by_call_id = child.config.registrar.match_call_id
        self.table: LocationTable = private_location(child.config, f"storage-{child.slot}")
        self.select = statements.of_aor(lock=False)
        self.select_locked = statements.of_aor(lock=True)
        self.delete = statements.delete_known(statements.LOCATION)
        self.writers: dict[str, RowWriter] = {}
        self.sweep_at = 0.0

    def register(self, question: Question) -> None:
        """One REGISTER."""
        datagram, source, listener = (field or b"" for field in question.fields)
        try:
            message = parse(datagram)
            aor = aor_key(parse_uri(message.to_addr.uri))
            result = self.stores.transaction(
                lambda connection: self._save(connection, message, aor, source, listener)
            )
        except Unavailable:
            self.answerer.send(question, Status.UNAVAILABLE, [])
        except (BadStatement, BadMessage) as error:
            self.child.log.error("register failed", error=error)
            self.answerer.send(question, Status.FAILED, [])
        else:
            row: list[bytes | None] = [b"%d" % result.status, result.reason, result.headers]
            self.answerer.send(question, Status.ANSWERED, [row])

    def _save(
        self, connection: Connection, message: Message, aor: bytes, source: bytes, listener: bytes
    ) -> RegisterResult:
        stored, known = self._read(connection, aor, locked=True)
        self._put(aor, stored)
        now_ms = time.time_ns() // 1_000_000
        result = save(
            self.table,
            message,
            address_from(source),
            listener,
            now_ms // 1_000,
            now_ms,
            self.rules,
            self.clock,
        )
        payload, _ = self.table.snapshot(aor)
        self._put(aor, [])
        if result.changed:
            bindings = decode(payload) if payload is not None else []
            self._write(connection, aor, known, bindings)
        return result

    def _read(
        self, connection: Connection, aor: bytes, locked: bool
    ) -> tuple[list[Binding], Known]:
        user, _ = split_aor(aor)
        username = user.decode("utf-8", "replace")[: WIDTHS["username"]]
        chosen = self.select_locked if locked else self.select
        bindings, known = [], Known(0, ())
        for found in connection.execute(chosen, {"username": username}).all():
            row = dict(found._mapping)
            key, binding = self.reader.binding(row)
            if key == aor:
                binding.version = binding.version or version_at(binding.modified)
                bindings.append(binding)
                identities = (*known.identities, int(row["contact_id"]))
                known = Known(max(known.version, binding.version), identities)
        return bindings, known

    def _put(self, aor: bytes, bindings: list[Binding]) -> None:
        commit_bindings(self.table, aor, self.table.snapshot(aor)[1], bindings)

    def _write(
        self, connection: Connection, aor: bytes, known: Known, bindings: list[Binding]
    ) -> None:
        change = difference(aor, known, bindings, as_time, self.by_call_id)
        if change is None:
            return
        if change.rows:
            dialect = connection.dialect
            if dialect.name not in self.writers:
                self.writers[dialect.name] = RowWriter(statements.LOCATION, dialect)
            self.writers[dialect.name].write(connection, change.rows)
        if change.deleted:
            version = f"{known.version:016x}"
            gone = [{"identity": each, "known": version} for each in change.deleted]
            connection.execute(self.delete, gone)

    def lookup(self, question: Question) -> None:
        """The record of one AoR, as the location table would hold it."""
        aor = question.fields[0] or b""
        try:
            bindings, _ = self.stores.transaction(
                lambda connection: self._read(connection, aor, locked=False)
            )
            rows: list[list[bytes | None]] = [[encode(bindings)]] if bindings else []
        except Unavailable:
            self.answerer.send(question, Status.UNAVAILABLE, [])
        except (BadStatement, CorruptRecord) as error:
            self.child.log.error("lookup failed", error=error)
            self.answerer.send(question, Status.FAILED, [])
        else:
            self.answerer.send(question, Status.ANSWERED, rows)

    def sweep(self, now: float) -> None:
        """Delete what has expired, now and then; no server has to be the one that does it."""
        if now < self.sweep_at:
            return
        self.sweep_at = now + SWEEP_S
        table = schema.location
        gone = delete(table).where(table.c.expires > 0, table.c.expires < int(time.time()))
        try:
            self.stores.transaction(lambda connection: connection.execute(gone))
        except (Unavailable, BadStatement) as error:
            self.child.log.debug("expired rows not deleted", error=error)
