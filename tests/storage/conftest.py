"""Databases, nodes and phones, all real, all ended with the tests."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from loadtests.mariadb import MariaDb
from loadtests.registering import Node, Phone
from workers.storage.database import make_engine
from workers.storage.setup import create

NUMBERS = itertools.count()


@pytest.fixture(scope="session")
def shared_mariadb() -> Iterator[MariaDb]:
    folder = Path(tempfile.mkdtemp(prefix="sipherd-mariadb-"))
    try:
        server = MariaDb(folder)
        try:
            server.start()
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def mariadb(shared_mariadb: MariaDb) -> Iterator[MariaDb]:
    """The server of all tests; it may be killed and stopped, the next one finds it well."""
    shared_mariadb.revive()
    yield shared_mariadb
    shared_mariadb.revive()


@pytest.fixture(params=["sqlite", "mariadb"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database without tables."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/test.db"
    server: MariaDb = request.getfixturevalue("mariadb")
    return server.url(f"test{next(NUMBERS)}")


@pytest.fixture
def url(empty_url: str) -> str:
    """The URL of a database with empty tables."""
    create(empty_url)
    return empty_url


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    from sqlalchemy.engine import make_url

    engine = make_engine(make_url(url))
    yield engine
    engine.dispose()


@pytest.fixture
def rows(engine: Engine) -> Callable[[str], list[dict[str, object]]]:
    """What a query finds in the database."""

    def query(sql: str) -> list[dict[str, object]]:
        with engine.connect() as connection:
            return [dict(row._mapping) for row in connection.execute(text(sql))]

    return query


@pytest.fixture
def make_node(tmp_path: Path) -> Iterator[Callable[..., Node]]:
    made: list[Node] = []

    def make(storage: str, more: str = "") -> Node:
        folder = tmp_path / f"node{len(made)}"
        folder.mkdir()
        made.append(Node(folder, storage, more))
        return made[-1]

    yield make
    for node in made:
        node.cleanup()


@pytest.fixture
def make_phone() -> Iterator[Callable[..., Phone]]:
    made: list[Phone] = []

    def make(node: Node, timeout_s: float = 20.0) -> Phone:
        made.append(Phone(node, timeout_s))
        return made[-1]

    yield make
    for phone in made:
        phone.close()
