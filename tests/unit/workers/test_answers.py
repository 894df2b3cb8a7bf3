"""What the storage process answers to a crowd of questions about users."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import make_url
from sqlalchemy.sql.expression import Executable

from proxy.storage.kinds import Fields, Kind, Question, Status
from workers.child import Child
from workers.storage.answers import Answerer
from workers.storage.database import BadStatement, Database
from workers.storage.setup import create


class OneDatabase:
    """Stands for all databases of a node; says how often it was asked."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.asked = 0
        self.bad = ""

    def fetch(self, statement: Executable) -> Sequence[Any]:
        self.asked += 1
        if self.bad and self.bad in str(statement.compile().params.values()):
            raise BadStatement("no")
        return self.database.fetch(statement)


class Noting(Answerer):
    """Keeps the answers by the number of the question."""

    heard: dict[int, tuple[int, list[Fields]]]

    def send(self, question: Question, status: int, rows: list[Fields]) -> None:
        assert question.number not in self.heard, "answered twice"
        self.heard[question.number] = status, rows


@pytest.fixture
def answerer(child: Child, tmp_path: Path) -> Noting:
    file = tmp_path / "users.db"
    create(f"sqlite:///{file}")
    with closing(sqlite3.connect(file)) as database, database:
        database.executemany(
            "INSERT INTO subscriber (username, domain, ha1) VALUES (?, ?, ?)",
            [(f"u{n}", "example.com", f"hash {n}") for n in range(9)]
            + [("u1", "example.net", "another")],
        )
    made = Noting(child, OneDatabase(Database(make_url(f"sqlite:///{file}"), child.log)))  # type: ignore[arg-type]
    made.heard = {}
    return made


def crowd(*users: tuple[bytes, bytes | None]) -> list[Question]:
    return [
        Question(Kind.SUBSCRIBER, 0, number, [user, domain])
        for number, (user, domain) in enumerate(users)
    ]


def hashes(answerer: Noting, number: int) -> list[bytes | None]:
    status, rows = answerer.heard[number]
    assert status == Status.ANSWERED
    return sorted((row[3] for row in rows), key=str)


def test_one_query_for_each_domain(answerer: Noting) -> None:
    here, there = b"example.com", b"example.net"
    answerer.answer_together(
        crowd(
            (b"u1", here),
            (b"u2", here),
            (b"u1", there),
            (b"u9", here),
            (b"u2", here),
            (b"u1", None),
        )
    )
    assert hashes(answerer, 0) == [b"hash 1"]
    assert hashes(answerer, 1) == hashes(answerer, 4) == [b"hash 2"]
    assert hashes(answerer, 2) == [b"another"]
    assert hashes(answerer, 3) == []
    assert hashes(answerer, 5) == [b"another", b"hash 1"]
    assert answerer.stores.asked == 3  # type: ignore[attr-defined]


def test_one_bad_name_is_the_trouble_of_its_user_alone(answerer: Noting) -> None:
    answerer.stores.bad = "mushroom"  # type: ignore[attr-defined]
    answerer.answer_together(crowd((b"u3", b"example.com"), (b"mushroom", b"example.com")))
    assert hashes(answerer, 0) == [b"hash 3"]
    assert answerer.heard[1][0] == Status.FAILED
