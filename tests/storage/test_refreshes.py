"""Plain refreshes: four columns of a row that is as it was left, and else the whole row."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import Engine, text

from loadtests.registering import Node, Phone
from workers.storage.row_writer import REFRESH, Refresher

USERS = ["alice", "bob", "carol"]
MODE = "single-instance-sql-write-through"
MARK = '{"_v":"'

Rows = Callable[[str], list[dict[str, object]]]


@pytest.fixture
def phone(url: str, make_node: Callable[..., Node], make_phone: Callable[..., Phone]) -> Phone:
    """A phone whose three users are registered, each for the second time."""
    node = make_node(f'urls = ["{url}"]\nmode = "{MODE}"').start()
    made: Phone = make_phone(node)
    for cseq in (1, 2):
        for user in USERS:
            assert made.register(user, cseq=cseq) == 200
    return made


def change(engine: Engine, statement: str) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql(statement)


def of_bob(rows: Rows) -> dict[str, object]:
    (row,) = rows("SELECT * FROM location WHERE username = 'bob'")
    return row


def refresh_all(phone: Phone) -> None:
    """All three in one group, if the machine is quick; in any case all are answered."""
    for user in USERS:
        phone.send(user, cseq=3, expires=1800)
    assert [phone.receive()[0] for _ in USERS] == [200, 200, 200]


def test_four_columns_are_written(phone: Phone, engine: Engine, rows: Rows) -> None:
    before = of_bob(rows)
    change(engine, "UPDATE location SET user_agent = 'by hand' WHERE username = 'bob'")
    refresh_all(phone)
    after = of_bob(rows)
    assert after["user_agent"] == "by hand", "more than that was written"
    changed = {name for name in before if before[name] != after[name]} - {"user_agent"}
    assert (
        {"cseq", "expires", "kv_store"}
        <= changed
        <= {
            "cseq",
            "expires",
            "kv_store",
            "last_modified",
        }
    )
    assert after["cseq"] == 3
    versions = [str(row["kv_store"]) for row in (before, after)]
    assert versions[0][23:] == versions[1][23:]
    assert versions[0] < versions[1]


@pytest.mark.parametrize(
    "harm",
    [
        "DELETE FROM location WHERE username = 'bob'",
        "UPDATE location SET kv_store = NULL, user_agent = 'y' WHERE username = 'bob'",
        "UPDATE location SET kv_store = '', contact = 'sip:x@y' WHERE username = 'bob'",
        "UPDATE location SET kv_store = '{\"_st\":\"a\"}', path = 'x' WHERE username = 'bob'",
        f"UPDATE location SET kv_store = '{MARK}zzzz', callid = 'x' WHERE username = 'bob'",
        f"UPDATE location SET kv_store = '{MARK}0000000000000001\"}}', path = 'x'",
    ],
)
def test_a_row_that_is_not_as_it_was_left_is_written_whole(
    phone: Phone, engine: Engine, rows: Rows, harm: str
) -> None:
    before = of_bob(rows)
    change(engine, harm)
    refresh_all(phone)
    assert [row["cseq"] for row in rows("SELECT cseq FROM location")] == [3, 3, 3]
    after = of_bob(rows)
    assert after["expires"] != before["expires"]
    assert str(after["kv_store"]) > str(before["kv_store"])
    for name in set(before) - {"expires", "cseq", "kv_store", "last_modified"}:
        assert after[name] == before[name], name


def test_a_newer_row_stays(phone: Phone, engine: Engine, rows: Rows) -> None:
    newer = f'{MARK}7fffffffffffffff"}}'
    change(engine, f"UPDATE location SET kv_store = '{newer}', cseq = 9 WHERE username = 'bob'")
    refresh_all(phone)
    assert (of_bob(rows)["kv_store"], of_bob(rows)["cseq"]) == (newer, 9)
    assert sorted(row["cseq"] for row in rows("SELECT cseq FROM location")) == [3, 3, 9]


def test_one_row_in_a_thousand_is_noticed(engine: Engine, rows: Rows) -> None:
    """What the transaction then takes back: rows that were never there are not made."""
    old, new = f"{MARK}{5:016x}", f"{MARK}{6:016x}"
    insert = "INSERT INTO location (contact_id, contact, expires, kv_store) VALUES "
    change(engine, insert + ",".join(f"({n}, 'sip:{n}', 1, '{old}\"}}')" for n in range(1, 1_001)))
    refresher = Refresher(engine.dialect)
    values = dict(zip(REFRESH, (0, old, 7, 8, "2026-01-02 03:04:05", new), strict=True))
    good = [(n, *list(values.values())[1:]) for n in range(1, 1_001)]
    with engine.connect() as connection:
        assert not refresher.write(connection, [*good[:500], (1_001, *good[0][1:]), *good[501:]])
        connection.rollback()
        assert refresher.write(connection, good)
        connection.commit()
        assert not refresher.write(connection, good), "they carry the new version now"
        connection.rollback()
    (found,) = rows("SELECT COUNT(*) AS n, MIN(expires) AS e, MAX(cseq) AS c FROM location")
    assert tuple(found.values()) == (1_000, 7, 8)
    assert rows(f"SELECT 1 FROM location WHERE kv_store <> '{new}\"}}'") == []


def test_the_statement_needs_nothing_but_bound_values(engine: Engine) -> None:
    with engine.connect() as connection:
        hostile = "'); DROP TABLE location; --"
        Refresher(engine.dialect).write(
            connection, [(1, hostile, 1, 1, "2026-01-01 00:00:00", hostile)]
        )
        connection.rollback()
        assert connection.execute(text("SELECT COUNT(*) FROM location")).scalar() == 0
