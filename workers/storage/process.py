"""The storage process: follows the change ring, writes in groups, answers what workers ask.

Each turn takes what has gathered and writes it in one transaction; then all who wait for it are
told at once. While a database is away the notes are still read, so that nothing is lost but time.
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable
from contextlib import suppress
from math import inf
from typing import Final

import orjson

from proxy.limits import counters as ids
from proxy.shm.change_reader import ChangeReader
from proxy.shm.table import Table
from proxy.shm.table_ids import DIALOGS, LOCATION, READER_STORAGE
from proxy.storage.kinds import Kind, Question, decode_question
from proxy.storage.modes import DELAYED, SHUTDOWN, SQL_ONLY, WRITE_BACK, WRITE_THROUGH
from workers.child import Child
from workers.errands import Errand, tell_workers
from workers.settings import Config
from workers.storage.answers import QUERIES, USER_FIELDS, Answerer
from workers.storage.queries import Queries
from workers.storage.sql_only import SqlOnly
from workers.storage.stores import Stores

NOTES: Final = 5_000  # of one transaction, at most
QUESTIONS: Final = 50  # answered between two transactions
IDLE_S: Final = 0.2  # the ring holds some seconds of changes
RETRY_S: Final = 0.25
REPEAT_S: Final = 0.005
NOTHING_KNOWN: Final = -1  # rows may say that they were modified at 0
STATUS_S: Final = 1.0
LAST_WORDS_S: Final = 2.0  # how long workers that are being stopped are followed


class StorageProcess:
    """The loop, and what is due in it."""

    def __init__(self, child: Child) -> None:
        settings = child.config.storage
        self.child = child
        self.ring = child.tables.changes
        self.questions = child.tables.questions
        self.page = child.tables.storage
        self.counters = child.tables.slots.counters(child.slot)
        self.wake_fd = child.reader_eventfds[READER_STORAGE]
        self.prompt = settings.mode == WRITE_THROUGH
        self.schedule = schedule_of(child.config)
        self.wakes = 0.0 in self.schedule.values()
        self.write_at = dict.fromkeys(self.schedule, 0.0)
        self.tables: dict[int, Table] = {LOCATION: child.tables.location}
        if child.tables.dialogs is not None:
            self.tables[DIALOGS] = child.tables.dialogs
        self.trusted = {
            number: table.touched_at or NOTHING_KNOWN for number, table in self.tables.items()
        }
        self.reader = ChangeReader(self.ring)
        self.stores = Stores(child)
        # One that replaces a dead one: what is not in the table by now has been removed from it.
        self.stores.loaded = set(orjson.loads(self.page.read() or b"{}").get("tables", ()))
        self.answerer = Answerer(child, self.stores)
        self.queries = Queries(child, self.stores.databases, self.answerer)
        self.queries.wake_fd = self.wake_fd
        self.handlers: dict[int, Callable[[Question], None]] = {
            Kind.FLUSH: self.flush_now,
            Kind.SYNC: self.sync,
            Kind.SYNC_DIALOGS: self.sync_dialogs,
            Kind.RESTORE_DIALOGS: self.restore_dialogs,
            Kind.SET_DATABASE: self.set_database,
            Kind.QUERY: self.queries.take,
            **dict.fromkeys(QUERIES, self.answerer.answer),
        }
        self.sql_only: SqlOnly | None = None
        if settings.mode == SQL_ONLY:
            self.sql_only = SqlOnly(child, self.stores, self.answerer)
            self.handlers[Kind.REGISTER] = self.sql_only.register
            self.handlers[Kind.LOOKUP] = self.sql_only.lookup
        self.choose_at = 0.0
        self.status_at = 0.0
        self.flushes = 0
        self.written = True
        self.report()

    def serve(self) -> int:
        """Turn after turn until asked to stop; then the last changes are written."""
        child = self.child
        poll = select.poll()
        for fd in (child.stop_fd, child.parent_fd, self.wake_fd):
            poll.register(fd, select.POLLIN)
        ended = {child.stop_fd, child.parent_fd}
        child.beat()
        while True:
            busy = self.turn(time.monotonic())
            child.beat()
            if busy or not self._fall_asleep():
                ready = poll.poll(0)
            else:
                ready = poll.poll(self.patience() * 1_000)
            self.ring.awake(READER_STORAGE)
            self.questions.awake()
            for fd, _ in ready:
                if fd in ended:
                    return self.finish()
                with suppress(BlockingIOError):
                    os.eventfd_read(fd)

    def _fall_asleep(self) -> bool:
        if not self.questions.announce_sleep():
            return False
        return not self.wakes or self.ring.announce_sleep(READER_STORAGE, self.reader.position)

    def patience(self) -> float:
        """How long the loop may sleep, seconds."""
        if self.answerer.deliveries.kept:
            return REPEAT_S
        return RETRY_S if self.wakes and not self.stores.active else IDLE_S

    def turn(self, now: float) -> bool:
        """Questions, notes, and what is due to be written; whether there may be more at once."""
        self.answerer.deliveries.repeat(now)
        self.queries.deliver()
        asked = self.questions.pop(QUESTIONS)
        self.handle([data for _, _, _, data in asked])
        took = 0
        if self.schedule:
            took = self.take_notes(now)
            if now >= self.choose_at or not self.stores.active:
                self.choose_at = now + RETRY_S
                before = self.stores.active
                self.stores.choose(self.trusted)
                if self.stores.active != before:
                    self.report()
            due = {number for number, at in self.write_at.items() if now >= at}
            if due:
                for number in due:
                    self.write_at[number] = now + self.schedule[number]
                self.write(due)
        if self.sql_only is not None:
            self.sql_only.sweep(now)
        if now >= self.status_at:
            self.status_at = now + STATUS_S
            self.touch()
            self.report()
        return len(asked) == QUESTIONS or took == NOTES

    def take_notes(self, now: float) -> int:
        """Read the ring; how many notes there were."""
        changes = self.reader.take(NOTES, int(now * 1_000))
        self.stores.note(changes)
        if self.reader.overrun:
            self.child.log.notice("changes missed", remedy="the whole table is compared")
            self.reader.resume()
            self.stores.note_all()
        return len(changes)

    def touch(self) -> None:
        """Say of each table that nothing has changed without it."""
        now = int(time.time())
        for table in self.tables.values():
            table.touch(now)

    def write(self, tables: set[int]) -> bool:
        """Write what is pending; when all databases have it, tell those who wait for it."""
        position = self.reader.position
        if not self.stores.flush(tables):
            return False
        if LOCATION in tables and LOCATION in self.schedule:
            self.ring.set_done(READER_STORAGE, position)
            if self.prompt:
                tell_workers(self.child, Errand.DURABLE, b"")
        return True

    def finish(self) -> int:
        """The server stops: follow the workers to their end, then write what is left."""
        deadline = time.monotonic() + LAST_WORDS_S
        slots = self.child.tables.slots
        while time.monotonic() < deadline:
            self.turn(time.monotonic())
            self.child.beat()
            if not any(row.role.startswith("udp worker") for row in slots.live()):
                break
            select.select([], [], [], 0.01)
        if self.schedule:
            while self.take_notes(time.monotonic()):
                pass
            if not self.write(set(self.schedule)) and self.stores.pending:
                self.child.log.error("changes not written", records=self.stores.pending)
        self.touch()
        self.stores.close()
        return 0

    # -- what others want ------------------------------------------------------------------------

    def handle(self, asked: list[bytes]) -> None:
        """The questions of a turn: those for users by one query, the others in their order."""
        users: list[Question] = []
        for data in asked:
            self.counters.add(ids.STORAGE_QUESTIONS)
            try:
                question = decode_question(data)
                handler = self.handlers.get(question.kind)
            except ValueError:
                continue
            if question.kind == Kind.SUBSCRIBER and len(question.fields) == USER_FIELDS:
                users.append(question)
            elif handler is not None:
                handler(question)
        self.answerer.answer_together(users)

    def flush_now(self, _question: Question) -> None:
        """`ul_flush`."""
        self.write_everything()
        self.flushes += 1  # whoever waits for it is told now, and not before
        self.report()

    def write_everything(self) -> None:
        """All that has changed until now, of all tables."""
        while self.take_notes(time.monotonic()) == NOTES:
            pass
        self.written = self.write(set(self.schedule)) and self.stores.is_whole

    def sync(self, question: Question) -> None:
        """`ul_sync`: find out anew what the databases hold, and write the difference."""
        for mirror in self.stores.mirrors:
            if mirror.table_id == LOCATION:
                mirror.current = False
        self.stores.choose(self.trusted)
        self.flush_now(question)

    def sync_dialogs(self, question: Question) -> None:
        """`dlg_db_sync`: load what somebody else has put into the table of calls."""
        self.write_everything()
        self.stores.load_again(DIALOGS, int(time.time()))
        self.flush_now(question)

    def restore_dialogs(self, question: Question) -> None:
        """`dlg_restore_db`: write all calls that are up, and leave no other row."""
        self.stores.rewrite_dialogs()
        self.stores.choose(self.trusted)
        self.flush_now(question)

    def set_database(self, question: Question) -> None:
        """`db_set`."""
        index, allowed, again = (int(field or 0) for field in question.fields)
        breaker = self.stores.databases[index].breaker
        breaker.allowed = bool(allowed)
        if again:
            breaker.try_again()
        self.choose_at = 0.0
        self.report()

    def report(self) -> None:
        """Say how things are, for `db_status`."""
        self.page.write(
            orjson.dumps(
                {
                    "mode": self.child.config.storage.mode,
                    "policy": self.stores.policy,
                    "loaded": self.stores.loaded >= set(self.schedule),
                    "tables": sorted(self.stores.loaded),
                    "flushes": self.flushes,
                    "pending": self.stores.pending,
                    "written": self.written,
                    "databases": self.stores.status(),
                }
            )
        )


def schedule_of(config: Config) -> dict[int, float]:
    """The tables that are mirrored, each with the seconds between two writes."""
    storage, dialog = config.storage, config.dialog
    schedule = {}
    if storage.mode in {WRITE_BACK, WRITE_THROUGH}:
        schedule[LOCATION] = 0.0 if storage.mode == WRITE_THROUGH else storage.interval_seconds
    if dialog.is_stored:
        periods = {DELAYED: float(dialog.db_update_period), SHUTDOWN: inf}
        schedule[DIALOGS] = periods.get(dialog.db_mode, 0.0)
    return schedule


def serve(child: Child) -> int:
    """The process, until it is asked to stop."""
    return StorageProcess(child).serve()
