"""Databases that others have changed, locked, or filled with nonsense."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from calling import POLICY, SETTINGS, Call, Side
from sqlalchemy import Engine, text

from loadtests.mariadb import USER, MariaDb
from loadtests.registering import Node, Phone, wait_for
from workers.control_client import ask
from workers.storage.setup import create, upgrade

MakeNode = Callable[..., Node]
MakePhone = Callable[..., Phone]
Rows = Callable[[str], list[dict[str, object]]]
THROUGH = 'mode = "single-instance-sql-write-through"\nwait_seconds = 0.3'


@pytest.fixture
def sql(engine: Engine) -> Callable[[str], None]:
    def execute(statement: str) -> None:
        with engine.begin() as connection:
            connection.execute(text(statement))

    return execute


@pytest.mark.parametrize(
    "damage",
    ["ALTER TABLE location RENAME TO elsewhere", "ALTER TABLE location DROP COLUMN kv_store"],
)
def test_a_table_that_does_not_fit_is_an_outage(
    url: str,
    sql: Callable[[str], None],
    rows: Rows,
    damage: str,
    make_node: MakeNode,
    make_phone: MakePhone,
) -> None:
    node = make_node(f'urls = ["{url}"]\n{THROUGH}').start()
    phone = make_phone(node)
    wait_for(lambda: phone.try_register("alice") == 200)
    sql(damage)
    assert phone.register("bob") == 503, "not 200: he is not in the table"
    assert node.is_registered("bob")
    wait_for(lambda: node.ctl("db_status")["databases"][0]["state"] == "down")
    answer = ask(node.folder / "var", "ul_sync", {})
    assert "No database can be used" in answer["error"]["message"]
    if "RENAME" in damage:
        sql("ALTER TABLE elsewhere RENAME TO location")
    else:
        upgrade(url)
    wait_for(lambda: phone.try_register("carol") == 200, 30)
    wait_for(lambda: len(rows("SELECT * FROM location WHERE kv_store IS NOT NULL")) == 3)
    assert node.ctl("ul_sync") == "OK"


def test_without_the_table_of_calls_phones_are_written(
    url: str, sql: Callable[[str], None], rows: Rows, make_node: MakeNode, make_phone: MakePhone
) -> None:
    node = make_node(f'urls = ["{url}"]\n{THROUGH}', SETTINGS.format(mode="realtime", more=""))
    (node.folder / "policy.py").write_text(POLICY)
    node.start()
    one, other = Side(node), Side(node)
    call = Call(one, other, 1)
    sql("ALTER TABLE dialog RENAME TO elsewhere")
    Call(one, other, 2)
    wait_for(lambda: "dialogs not written" in node.log)
    assert make_phone(node).register("alice") == 200
    assert len(rows("SELECT * FROM location")) == 1
    assert node.log.count("dialogs not written") == 1
    sql("ALTER TABLE elsewhere RENAME TO dialog")
    assert node.ctl("dlg_restore_db") == "OK"
    assert len(rows("SELECT * FROM dialog")) == 2
    call.hang_up(one, 6)
    wait_for(lambda: len(rows("SELECT * FROM dialog")) == 1)
    for side in (one, other):
        side.socket.close()


def test_a_database_that_may_only_be_read(
    mariadb: MariaDb, make_node: MakeNode, make_phone: MakePhone
) -> None:
    url = mariadb.url("readonly")
    create(url)
    node = make_node(f'urls = ["{url}"]\n{THROUGH}').start()
    phone = make_phone(node)
    wait_for(lambda: phone.try_register("alice") == 200)
    who = f"'{USER}'@'127.0.0.1'"
    mariadb.sql(f"REVOKE ALL ON *.* FROM {who}; GRANT SELECT ON *.* TO {who}; KILL USER {USER}")
    assert phone.register("bob") == 503
    mariadb.start_users()
    wait_for(lambda: phone.try_register("carol") == 200, 30)
    assert mariadb.sql("SELECT COUNT(*) FROM location", "readonly") == "3\n"


def test_a_sqlite_file_that_another_program_has_locked(
    tmp_path: Path, make_node: MakeNode, make_phone: MakePhone
) -> None:
    url = f"sqlite:///{tmp_path}/locked.db"
    create(url)
    node = make_node(f'urls = ["{url}"]\n{THROUGH}').start()
    phone = make_phone(node)
    wait_for(lambda: phone.try_register("alice") == 200)
    other = sqlite3.connect(tmp_path / "locked.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    assert phone.register("bob") == 503
    other.execute("ROLLBACK")
    wait_for(lambda: phone.try_register("carol") == 200, 30)
    other.close()
    assert usernames(tmp_path / "locked.db") == {"alice", "bob", "carol"}


def usernames(path: Path) -> set[object]:
    with closing(sqlite3.connect(path)) as database:
        return {row[0] for row in database.execute("SELECT username FROM location")}


def test_two_servers_on_one_table(
    url: str, rows: Rows, make_node: MakeNode, make_phone: MakePhone
) -> None:
    """Neither replaces nor deletes what only the other knows."""
    nodes = [make_node(f'urls = ["{url}"]\n{THROUGH}').start() for _ in range(2)]
    phones = [make_phone(node) for node in nodes]
    for number in range(20):
        for name, phone in zip("ab", phones, strict=True):
            phone.send(f"{name}{number}")
    for phone in phones:
        assert {phone.receive()[0] for _ in range(20)} == {200}
    assert len(rows("SELECT * FROM location")) == 40
    assert phones[0].register("a1", cseq=2, expires=0) == 200
    assert len(rows("SELECT * FROM location")) == 39


def test_rows_of_any_type(tmp_path: Path, make_node: MakeNode, make_phone: MakePhone) -> None:
    """SQLite takes anything into any column, and people have tables without constraints."""
    path = tmp_path / "odd.db"
    create(f"sqlite:///{path}")
    database = sqlite3.connect(path)
    names = [row[1] for row in database.execute("PRAGMA table_info(location)")]
    calls = [row[1] for row in database.execute("PRAGMA table_info(dialog)")]
    for table, columns in (("location", names), ("dialog", calls)):
        database.execute(f"DROP TABLE {table}")
        others = ", ".join(columns[1:])
        database.execute(f"CREATE TABLE {table} ({columns[0]} INTEGER PRIMARY KEY, {others})")
        values = (None, b"\xff\0", "x" * 70_000, 2**62, -1, 1.5, "", "\0", "\ud7ff", '{"_v":"zz')
        marks = ", ".join("?" * len(columns))
        for number, value in enumerate(values):
            row = [number, *[value] * (len(columns) - 1)]
            database.execute(f"INSERT INTO {table} VALUES ({marks})", row)
            chance = random.Random(number)
            mixed = [100 + number, *[chance.choice(values) for _ in columns[1:]]]
            database.execute(f"INSERT INTO {table} VALUES ({marks})", mixed)
    database.commit()
    calls_too = SETTINGS.format(mode="realtime", more="")
    node = make_node(f'urls = ["sqlite:///{path}"]\n{THROUGH}', calls_too)
    (node.folder / "policy.py").write_text(POLICY)
    node.start()
    wait_for(lambda: node.ctl("db_status")["loaded"])
    assert make_phone(node).register("alice") == 200
    pid = node.storage_pid()
    assert node.ctl("ul_sync") == "OK"
    assert node.ctl("dlg_restore_db") == "OK"
    assert node.storage_pid() == pid
    assert "process replaced" not in node.log
    assert "alice" in usernames(path)


def test_the_storage_process_is_killed_at_any_moment(
    url: str, rows: Rows, make_node: MakeNode, make_phone: MakePhone
) -> None:
    node = make_node(f'urls = ["{url}"]\n{THROUGH}', SETTINGS.format(mode="realtime", more=""))
    (node.folder / "policy.py").write_text(POLICY)
    node.start()
    one, other = Side(node), Side(node)
    phone = make_phone(node)
    chance = random.Random(3)
    calls, promised = [], set()
    for number in range(5):
        calls.append(Call(one, other, number))
        for user in range(20):
            phone.send(f"n{number}u{user}")
        for _ in range(chance.randrange(20)):
            status, call_id = phone.receive()
            promised |= {call_id.removeprefix("call-")} if status == 200 else set()
        if number % 2:
            calls.pop(0).hang_up(other, 8)
        before = node.storage_pid()
        os.kill(before, signal.SIGKILL)
        assert promised <= {str(row["username"]) for row in rows("SELECT username FROM location")}
        wait_for(lambda before=before: node.storage_pid() not in {0, before})  # type: ignore[misc]
    up = {call.call_id for call in calls}
    wait_for(lambda: {row["callid"] for row in rows("SELECT * FROM dialog")} == up, 20)
    wait_for(lambda: len(rows("SELECT * FROM location")) == 100)
    for side in (one, other):
        side.socket.close()
