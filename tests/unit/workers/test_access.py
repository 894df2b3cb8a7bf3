"""What workers share about users, and what operators see of it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from proxy.registrar import subscriber
from proxy.registrar.answers import ABSENT, FOUND, Answers
from proxy.sip.digest import ha1s_of
from workers.access_tables import ADDRESSES, DOMAINS, AccessTables, open_access
from workers.child import Child
from workers.commands import Commands
from workers.commands.command import CommandError
from workers.logs import Log
from workers.settings import Config, Node
from workers.timekeeper import Sweeper


def configured(folder: Path, **auth: Any) -> Config:
    node = Node(id=7, domains=("example.com",), runtime_dir=folder)
    small = {"nonces": 100, "cache": 100}
    storage = {"list_bytes": auth.pop("list_bytes", 4_096)}
    sections = {"auth": {"enabled": True, **small, **auth}, "storage": storage}
    return Config.model_validate({"node": node, **sections})


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return configured(tmp_path)


@pytest.fixture
def tables(child: Child) -> AccessTables:
    assert child.tables.access is not None
    return child.tables.access


def answers_of(tables: AccessTables) -> Answers:
    return Answers(tables.answers, ttl=100, negative_ttl=10, stale_seconds=1000)


def test_what_is_cached_is_counted_shown_and_dropped(child: Child, tables: AccessTables) -> None:
    commands = Commands(child)
    now = int(time.time())
    record = subscriber.pack((ha1s_of(b"alice", b"example.com", b"x")[0], None, None))
    answers_of(tables).keep(b"sexample.com\0alice", FOUND, record, now)
    answers_of(tables).keep(b"aexample.com\0sales", FOUND, b"alice\0example.com", now)
    answers_of(tables).keep(b"sexample.com\0nobody", ABSENT, b"", now)
    counted = commands.call("auth_cache", {})
    assert (counted["subscribers"], counted["aliases"], counted["uris"]) == (1, 1, 0)
    assert (counted["absent"], counted["capacity"], counted["nonces"]) == (1, 100, 0)
    shown = commands.call("auth_show", ["alice", "example.com"])
    assert (shown["state"], shown["algorithms"]) == ("known", ["MD5"])
    assert "ha1" not in shown
    assert commands.call("auth_show", ["nobody", "example.com"])["state"] == "absent"
    assert commands.call("auth_drop", ["alice", "example.com"]) == "OK"
    with pytest.raises(CommandError, match="not cached"):
        commands.call("auth_drop", ["alice", "example.com"])
    with pytest.raises(CommandError, match="not cached"):
        commands.call("auth_show", ["alice", "example.com"])
    assert commands.call("auth_drop", []) == "OK"
    assert tables.answers.count == 0


def test_lists_have_the_shapes_of_opensips(child: Child, tables: AccessTables) -> None:
    commands = Commands(child)
    assert commands.call("domain_dump", {}) == {"Domains": []}
    tables.lists.publish(DOMAINS, [[b"example.org", b"x=1", b"1"], [b"example.net", None, b"0"]])
    tables.lists.publish(
        ADDRESSES,
        [
            [b"1", b"192.0.2.9", b"32", b"5060", b"udp", None, b"trunk"],
            [b"2", b"198.51.100.77", b"24", b"0", b"any", b"sip:*", None],
            [b"2", b"no address", b"24", b"0", b"any", None, None],
        ],
    )
    assert commands.call("domain_dump", {})["Domains"] == [
        {"name": "example.org", "attributes": "x=1", "accept_subdomain": 1},
        {"name": "example.net", "attributes": "", "accept_subdomain": 0},
    ]
    (hosts,) = commands.call("address_dump", {})["Partitions"]
    assert hosts["name"] == "default"
    assert hosts["Destinations"] == [
        {
            "grp": 1,
            "ip": "192.0.2.9",
            "mask": "32",
            "port": 5060,
            "proto": "udp",
            "pattern": None,
            "context_info": "trunk",
        }
    ]
    (networks,) = commands.call("subnet_dump", {})["Partitions"]
    (network,) = networks["Destinations"]
    assert (network["ip"], network["mask"], network["pattern"]) == (
        "198.51.100.0",
        "255.255.255.0",
        "sip:*",
    )


def test_without_a_database_the_commands_say_so(tmp_path: Path, child: Child) -> None:
    child.tables.access = None
    with pytest.raises(CommandError, match="No database is in use"):
        Commands(child).call("domain_reload", {})


def test_files_come_back_and_change_their_size(tmp_path: Path, log: Log) -> None:
    config = configured(tmp_path)
    tables = open_access(config, b"", log)
    assert tables is not None
    now_ms = time.time_ns() // 1_000_000 + 1
    tables.nonces.use(7, now_ms, 1, 1, now_ms // 1000)
    answers_of(tables).keep(b"sr\0u", FOUND, b"body", now_ms // 1000)
    tables.lists.publish(DOMAINS, [[b"example.org", None, b"0"]])
    tables.close(clean=True)
    again = open_access(config, b"", log)
    assert again is not None
    assert (again.nonces.count, again.answers.count) == (1, 1)
    assert again.lists.read(DOMAINS) == (1, [[b"example.org", None, b"0"]])
    again.close(clean=True)
    larger = open_access(
        configured(tmp_path, nonces=5_000, cache=1_000, list_bytes=8_192), b"", log
    )
    assert larger is not None
    assert larger.nonces.capacity >= 5_000
    assert larger.answers.capacity == 1_000
    assert larger.lists.room == 8_192
    larger.close(clean=True)


def test_a_file_that_cannot_be_trusted_is_put_aside(
    tmp_path: Path, log: Log, lines: list[str]
) -> None:
    for name in ("answers.table", "nonces.table", "lists.page"):
        (tmp_path / name).write_bytes(b"nonsense" * 1_000)
    tables = open_access(configured(tmp_path), b"", log)
    assert tables is not None
    assert len(list(tmp_path.glob("*.bad-1"))) == 3
    assert sum("table file refused" in line for line in lines) == 3
    tables.close(clean=True)


def test_the_timekeeper_drops_what_nobody_may_believe(child: Child, tables: AccessTables) -> None:
    answers = answers_of(tables)
    now = int(time.time())
    answers.keep(b"sr\0known", FOUND, b"", now)
    answers.keep(b"sr\0absent", ABSENT, b"", now)
    sweeper = Sweeper(child)
    sweeper.forget(now + 9)
    assert tables.answers.count == 2
    sweeper.forget(now + 10)
    assert tables.answers.count == 1
    sweeper.forget(now + 1000)
    assert tables.answers.count == 0
