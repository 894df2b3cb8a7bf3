"""A database as OpenSIPS 3.x's own scripts make it, with what people's phones leave in it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url

from loadtests.mariadb import MariaDb
from loadtests.registering import Node, wait_for
from proxy.storage import schema
from proxy.storage.location_rows import RowReader
from workers.storage.database import make_engine
from workers.storage.setup import check, create, upgrade

MakeNode = Callable[..., Node]
COLUMNS = """
    contact_id {big} PRIMARY KEY NOT NULL, username CHAR(64) DEFAULT '' NOT NULL,
    domain CHAR(64) DEFAULT NULL, contact TEXT NOT NULL, received CHAR(255) DEFAULT NULL,
    path CHAR(255) DEFAULT NULL, expires {unsigned} NOT NULL, q FLOAT{two} DEFAULT 1.0 NOT NULL,
    callid CHAR(255) DEFAULT 'Default-Call-ID' NOT NULL, cseq {int} DEFAULT 13 NOT NULL,
    last_modified DATETIME DEFAULT '1900-01-01 00:00:01' NOT NULL, flags {int} DEFAULT 0 NOT NULL,
    cflags CHAR(255) DEFAULT NULL, user_agent CHAR(255) DEFAULT '' NOT NULL,
    socket CHAR(64) DEFAULT NULL, methods {int} DEFAULT NULL, sip_instance CHAR(255) DEFAULT NULL,
    kv_store TEXT{kv} DEFAULT NULL, attr CHAR(255) DEFAULT NULL
"""
WORDS = {
    "mariadb": {"big": "BIGINT(10) UNSIGNED AUTO_INCREMENT", "unsigned": "INT(10) UNSIGNED"}
    | {"int": "INT(11)", "two": "(10,2)", "kv": "(512)"},
    "sqlite": {"big": "INTEGER", "unsigned": "INTEGER", "int": "INTEGER", "two": "(10,2)"}
    | {"kv": "(512)"},
}
FAR = int(time.time()) + 3_000
ROWS: list[dict[str, object]] = [
    {"contact_id": 2**62 + 5, "username": "plain", "domain": "example.com", "expires": FAR}
    | {"contact": "sip:plain@192.0.2.1:5060", "q": 0.5, "methods": 5951, "callid": "a@b"}
    | {"socket": "udp:192.0.2.9:5060", "user_agent": "Phone/1", "cseq": 7, "cflags": "NAT"}
    | {"received": "sip:203.0.113.5:1024;transport=udp", "last_modified": "2026-01-02 03:04:05"},
    {"contact_id": 2, "username": "nulls", "domain": None, "contact": "sip:n@192.0.2.1"}
    | {"expires": FAR},
    {"contact_id": 3, "username": "forever", "domain": "example.com", "expires": 0}
    | {"contact": "sip:f@192.0.2.1", "q": -1},
    {"contact_id": 4, "username": "past", "domain": "example.com", "expires": 1_000}
    | {"contact": "sip:p@192.0.2.1"},
    {"contact_id": 5, "username": "quo'te", "domain": "example.com", "expires": FAR}
    | {"contact": "sip:q'\"\\;--@192.0.2.1", "user_agent": 'O\'Neil "x"; DROP TABLE location'},
    {"contact_id": 6, "username": "\N{MUSHROOM}", "domain": "example.com", "expires": FAR}
    | {"contact": "sip:m@192.0.2.1", "user_agent": "line\nline\ttab \N{MUSHROOM}"},
    {"contact_id": 7, "username": "two", "domain": "example.com", "expires": FAR}
    | {"contact": "sip:a@192.0.2.1", "q": 0.25, "kv_store": '{"_st": "vip"}'},
    {"contact_id": 8, "username": "two", "domain": "example.com", "expires": FAR}
    | {"contact": "sip:b@192.0.2.1", "kv_store": "{broken", "sip_instance": '"<urn:uuid:1>"'},
    {"contact_id": 9, "username": "big", "domain": "EXAMPLE.com", "expires": 2**32 - 1}
    | {"contact": "sip:" + "x" * 400 + "@192.0.2.1", "cseq": -5, "flags": -1, "methods": -1},
]


@pytest.fixture
def opensips_url(empty_url: str) -> str:
    """The URL of a database in which OpenSIPS has worked."""
    engine = make_engine(make_url(empty_url))
    kind = "sqlite" if empty_url.startswith("sqlite") else "mariadb"
    with engine.begin() as connection:
        connection.execute(
            text("CREATE TABLE version (table_name CHAR(32) NOT NULL, table_version INT NOT NULL)")
        )
        connection.execute(text("INSERT INTO version VALUES ('location', 1013)"))
        connection.execute(text(f"CREATE TABLE location ({COLUMNS.format(**WORDS[kind])})"))
        for row in ROWS:
            names = ", ".join(row)
            marks = ", ".join(f":{name}" for name in row)
            connection.execute(text(f"INSERT INTO location ({names}) VALUES ({marks})"), row)
    engine.dispose()
    return empty_url


def contents(url: str) -> list[tuple[object, ...]]:
    engine = make_engine(make_url(url))
    with engine.connect() as connection:
        found = connection.execute(text("SELECT * FROM location ORDER BY contact_id"))
        return [tuple(row) for row in found]


def test_its_rows_are_loaded_and_left_as_they_are(opensips_url: str, make_node: MakeNode) -> None:
    before = contents(opensips_url)
    mode = 'mode = "single-instance-sql-write-through"'
    node = make_node(f'urls = ["{opensips_url}"]\n{mode}').start()
    wait_for(lambda: node.ctl("db_status")["databases"][0]["current"])
    dump = node.ctl("ul_dump")["Domains"][0]["AORs"]
    shown = {each["AOR"].partition("@")[0]: each["Contacts"] for each in dump}
    assert set(shown) == {"plain", "nulls", "forever", "quo'te", "\N{MUSHROOM}", "two", "big"}
    assert {each["AOR"].partition("@")[2] for each in dump} == {"example.com"}
    (plain,) = shown["plain"]
    assert plain["Contact"] == "sip:plain@192.0.2.1:5060"
    assert (plain["Q"], plain["Methods"], plain["Cseq"]) == ("0.5", 5951, 7)
    assert (plain["Callid"], plain["Cflags"]) == ("a@b", "NAT")
    assert plain["Received"] == "sip:203.0.113.5:1024"
    assert plain["Socket"] == "udp:192.0.2.9:5060"
    assert shown["forever"][0]["Expires"] == "permanent"
    assert shown["forever"][0]["Q"] == ""
    assert shown["nulls"][0]["Methods"] == 0xFFFF_FFFF
    assert shown["quo'te"][0]["User-agent"] == ROWS[4]["user_agent"]
    assert shown["\N{MUSHROOM}"][0]["User-agent"] == ROWS[5]["user_agent"]
    assert len(shown["two"]) == 2
    assert shown["two"][1]["SIP_instance"] == "<urn:uuid:1>"
    assert shown["big"][0]["Contact"] == ROWS[8]["contact"]
    after = contents(opensips_url)
    assert [row for row in before if row[1] != "past"] == after, "only what ran out has gone"


def test_setup_makes_what_is_missing_and_no_more(opensips_url: str) -> None:
    before = contents(opensips_url)
    assert "table dialog is missing" in check(opensips_url)
    assert "table dialog made" in create(opensips_url)
    assert create(opensips_url) == []
    assert check(opensips_url) == []
    assert contents(opensips_url) == before


def test_an_older_table_gets_its_new_column(tmp_path: Path, mariadb: MariaDb) -> None:
    for url in (f"sqlite:///{tmp_path}/old.db", mariadb.url("old")):
        create(url)
        engine = make_engine(make_url(url))
        with engine.begin() as connection:
            connection.execute(text("ALTER TABLE domain DROP COLUMN accept_subdomain"))
            connection.execute(
                text("UPDATE version SET table_version = 3 WHERE table_name = 'domain'")
            )
        assert check(url) == [
            "column domain.accept_subdomain is missing",
            "table domain has version 3, not 4",
        ]
        assert upgrade(url) == [
            "column domain.accept_subdomain added",
            "table domain entered as version 4",
        ]
        assert check(url) == []
        engine.dispose()


def test_what_upgrade_cannot_mend_is_said(mariadb: MariaDb, make_node: MakeNode) -> None:
    """The location table of 2.2 has dates; a narrow column loses registrations."""
    url = mariadb.url("narrow_and_old")
    create(url)
    mariadb.sql(
        "ALTER TABLE location DROP COLUMN kv_store, MODIFY contact CHAR(255),"
        " MODIFY expires DATETIME NOT NULL;"
        " UPDATE version SET table_version = 1011 WHERE table_name = 'location';"
        " DELETE FROM version WHERE table_name = 'uri';"
        " INSERT INTO location (contact, expires) VALUES ('sip:a@b', '2030-01-01 00:00:00')",
        "narrow_and_old",
    )
    left = [
        "column location.contact has room for 255 characters, not for 16000",
        "column location.expires holds no numbers",
        "table location has version 1011, not 1013",
    ]
    missing = ["column location.kv_store is missing"]
    assert check(url) == [*missing, *left, "table uri has version None, not 2"]
    assert upgrade(url) == ["column location.kv_store added", "table uri entered as version 2"]
    assert check(url) == left
    assert upgrade(url) == []
    node = make_node(f'urls = ["{url}"]\nmode = "single-instance-sql-write-back"').start()
    wait_for(lambda: "location.expires is a date" in node.log)
    assert mariadb.sql("SELECT COUNT(*) FROM location", "narrow_and_old") == "1\n"
    assert node.ctl("ul_dump")["Domains"][0]["AORs"] == []


@pytest.mark.parametrize("word", ["never", "2030-01-01 00:00:00", b"\xff", "1e9"])
def test_an_expiry_that_is_no_number_is_over(word: object) -> None:
    row = dict.fromkeys([column.name for column in schema.location.columns])
    row |= {"contact": "sip:a@b", "username": "a", "expires": word}
    reader = RowReader(b"example.com", lambda _: 0)
    assert reader.binding(row)[1].expires == 1
    assert reader.binding(row | {"expires": "1900000000"})[1].expires == 1_900_000_000
    assert reader.binding(row | {"expires": 0})[1].expires == 0, "permanent"
