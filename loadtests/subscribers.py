"""Databases with users in them, for servers that have to ask who registers."""

from __future__ import annotations

import json
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from loadtests.mariadb import MariaDb
from loadtests.servers import DOMAIN
from loadtests.small_disk import may_mount, small_disk

PASSWORD = "not-a-secret"
KAMAILIO_TABLES = """
CREATE DATABASE kamailio; USE kamailio;
CREATE TABLE version (table_name VARCHAR(32) PRIMARY KEY, table_version INT UNSIGNED);
INSERT INTO version VALUES ('subscriber', 7);
CREATE TABLE subscriber (id INT UNSIGNED AUTO_INCREMENT PRIMARY KEY, username VARCHAR(64),
  domain VARCHAR(64), password VARCHAR(64), ha1 VARCHAR(128), ha1b VARCHAR(128) DEFAULT '',
  UNIQUE KEY (username, domain));
CREATE USER kamailio@127.0.0.1 IDENTIFIED BY 'kamailio';
GRANT ALL ON kamailio.* TO kamailio@127.0.0.1;
"""


@dataclass(frozen=True)
class Subscribers:
    """Where each server finds the same users."""

    url: str  # sipherd's
    kamailio_url: str
    database: MariaDb

    def settings(self) -> str:
        """What sipherd is told."""
        return (
            f"[storage]\nurls = [{json.dumps(self.url)}]\n"
            '[auth]\nenabled = true\nalgorithms = ["SHA-256"]\n'
        )


@contextmanager
def subscribers(count: int, disk_mib: int = 0) -> Iterator[Subscribers]:
    """Users u0, u1, … and b0, b1, … (who are called), each with the generator's password.

    `disk_mib`: how large the disk of the database is, where the system allows that.
    """
    from workers.storage.setup import create

    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="subscribers-"))
        if disk_mib and may_mount():
            stack.enter_context(small_disk(Path(folder), disk_mib))
        database = MariaDb(Path(folder))
        try:
            database.start()
            url = database.url("sipherd")
            create(url)
            database.sql(KAMAILIO_TABLES)
            enter_users(database, "sipherd", "ha1_sha256", count)
            enter_users(database, "kamailio", "ha1", count)
            address = f"127.0.0.1:{database.port}"
            yield Subscribers(url, f"mysql://kamailio:kamailio@{address}/kamailio", database)
        finally:
            database.stop()


def enter_users(database: MariaDb, name: str, column: str, count: int) -> None:
    """Put the users into the table `subscriber` of a database."""
    rows = ",".join(f"('{user}', '{DOMAIN}', '{ha1}')" for user, ha1 in users(count))
    database.sql(f"INSERT INTO {name}.subscriber (username, domain, {column}) VALUES {rows}")


def users(count: int, letters: str = "ub") -> Iterator[tuple[str, str]]:
    """Each user and the hash that stands for the password (HA1 of SHA-256)."""
    for letter in letters:
        for number in range(count):
            user = f"{letter}{number}"
            yield user, sha256(f"{user}:{DOMAIN}:{PASSWORD}".encode()).hexdigest()


def sqlite_subscribers(file: Path, count: int) -> str:
    """A new SQLite database with users u0, u1, …; its URL."""
    from workers.storage.setup import create

    url = f"sqlite:///{file}"
    create(url)
    with closing(sqlite3.connect(file)) as database, database:
        database.executemany(
            f"INSERT INTO subscriber (username, domain, ha1_sha256) VALUES (?, '{DOMAIN}', ?)",
            users(count, "u"),
        )
    return url
