"""Queries of policies: run beside the storage process's own work, which none of them may hold up.

A few threads with connections of their own, that can only read; the database itself ends what takes
too long. Answers are handed back to the process's loop, which alone speaks to workers.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

from sqlalchemy import text

from proxy.limits.bounds import SQL_ANSWER_BYTES, SQL_ROWS
from proxy.routing.sql import Value, decode_query
from proxy.storage.kinds import Fields, Question, Status
from workers.child import Child
from workers.storage.answers import Answerer, field_of
from workers.storage.database import BadStatement, Database, Unavailable, UnknownLetters

THREADS: Final = 4
WAITING: Final = 1_000


class Job(NamedTuple):
    """A query that waits for a thread."""

    question: Question
    statement: str
    values: dict[str, Value]
    until: float


class Queries:
    """The queries of all workers; `take` puts one in, `deliver` sends what has been answered."""

    def __init__(self, child: Child, databases: Sequence[Database], answerer: Answerer) -> None:
        self.child = child
        self.databases = databases  # the loop's own: asked only whether they may be used
        self.answerer = answerer
        self.jobs: queue.SimpleQueue[Job] = queue.SimpleQueue()
        self.done: queue.SimpleQueue[tuple[Question, int, list[Fields]]] = queue.SimpleQueue()
        self.threads: list[threading.Thread] = []
        self.wake_fd = -1

    def take(self, question: Question) -> None:
        """A question has come."""
        try:
            seconds, statement, values = decode_query(question.fields)
        except ValueError:
            self.answerer.send(question, Status.FAILED, [])
            return
        if self.jobs.qsize() >= WAITING:
            self.answerer.send(question, Status.TOO_MANY, [])
            return
        self.jobs.put(Job(question, statement, values, time.monotonic() + seconds))
        if len(self.threads) < THREADS:
            thread = threading.Thread(target=self.work, daemon=True)
            self.threads.append(thread)
            thread.start()

    def deliver(self) -> None:
        """Tell workers what has been answered."""
        while not self.done.empty():
            self.answerer.send(*self.done.get())

    def work(self) -> None:
        """A thread: one query after the other, on connections of its own."""
        log = self.child.log
        readers = [
            Reader(each.url.render_as_string(hide_password=False), log) for each in self.databases
        ]
        while True:
            job = self.jobs.get()
            left = job.until - time.monotonic()
            if left > 0:  # else nobody waits for it any more
                self.done.put((job.question, *self.answer(readers, job, left)))
                with suppress(BlockingIOError):
                    os.eventfd_write(self.wake_fd, 1)

    def answer(self, readers: list[Reader], job: Job, seconds: float) -> tuple[int, list[Fields]]:
        """A status and rows: of the first database that can answer."""
        for reader, own in zip(readers, self.databases, strict=True):
            if not own.breaker.allowed:
                continue
            try:
                return reader.read(job.statement, job.values, seconds)
            except Unavailable:
                continue
            except UnknownLetters:  # no row can have them
                return Status.ANSWERED, []
            except BadStatement as error:
                self.child.log.error("query refused", kind="policy", error=error)
                return Status.FAILED, []
        return Status.UNAVAILABLE, []


class Reader:
    """A database that is only read, by one thread."""

    def __init__(self, url: str, log: Any) -> None:
        self.database = Database(url, log, reading=True)

    def read(
        self, statement: str, values: dict[str, Value], seconds: float
    ) -> tuple[int, list[Fields]]:
        """Names of columns, then rows; within so many seconds."""

        def work(connection: Any) -> tuple[int, list[Fields]]:
            self.database.bound(connection, seconds, SQL_ROWS + 1)
            result = connection.execute(text(statement), values)
            columns = list(result.keys())
            rows: list[Fields] = [[name.encode() for name in columns]]
            rows += [[field_of(each) for each in row] for row in result.fetchmany(SQL_ROWS + 1)]
            result.close()
            size = sum(len(each or b"") + 4 for row in rows for each in row)
            if len(rows) > SQL_ROWS + 1 or size > SQL_ANSWER_BYTES:
                return Status.TOO_LARGE, []
            return Status.ANSWERED, rows

        return self.database.transaction(work)
