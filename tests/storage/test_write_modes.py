"""What each mode promises, on real databases."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from loadtests.registering import Node, Phone, wait_for

MakeNode = Callable[..., Node]
MakePhone = Callable[..., Phone]
Rows = Callable[[str], list[dict[str, object]]]

THROUGH = "single-instance-sql-write-through"
BACK = "single-instance-sql-write-back"


def settings(url: str, mode: str, more: str = "") -> str:
    return f'urls = ["{url}"]\nmode = "{mode}"\n{more}'


def test_a_200_is_in_the_table(
    url: str, rows: Rows, make_node: MakeNode, make_phone: MakePhone
) -> None:
    node = make_node(settings(url, THROUGH)).start()
    phone = make_phone(node)
    assert phone.register("alice") == 200
    (row,) = rows("SELECT * FROM location")
    assert (row["username"], row["domain"], row["cseq"]) == ("alice", "example.com", 1)
    assert row["contact"] == f"sip:alice@127.0.0.1:{phone.port}"
    assert row["socket"] == f"udp:127.0.0.1:{node.port}"
    assert phone.register("alice", cseq=2) == 200
    assert [row["cseq"] for row in rows("SELECT cseq FROM location")] == [2]
    assert phone.register("alice", cseq=2) == 200, "a retransmission"
    assert phone.register("alice", cseq=3, expires=0) == 200
    assert rows("SELECT * FROM location") == []


def test_write_back_writes_on_flush_and_on_stop(
    url: str, rows: Rows, make_node: MakeNode, make_phone: MakePhone
) -> None:
    node = make_node(settings(url, BACK, "interval_seconds = 3600")).start()
    phone = make_phone(node)
    wait_for(lambda: node.ctl("db_status")["loaded"])
    assert phone.register("alice") == 200
    assert rows("SELECT * FROM location") == []
    assert node.ctl("ul_flush") == "OK"
    assert [row["username"] for row in rows("SELECT * FROM location")] == ["alice"]
    assert phone.register("bob") == 200
    assert node.stop() == 0
    assert {row["username"] for row in rows("SELECT * FROM location")} == {"alice", "bob"}


def test_write_back_writes_after_the_interval(
    url: str, rows: Rows, make_node: MakeNode, make_phone: MakePhone
) -> None:
    node = make_node(settings(url, BACK, "interval_seconds = 0.2")).start()
    assert make_phone(node).register("alice") == 200
    wait_for(lambda: rows("SELECT * FROM location"))


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_rows_are_loaded_into_an_empty_table(
    url: str, end: str, make_node: MakeNode, make_phone: MakePhone
) -> None:
    node = make_node(settings(url, THROUGH)).start()
    phone = make_phone(node)
    for number in range(20):
        assert phone.register(f"u{number}") == 200
    before = [node.ctl("ul_show_contact", table_name="location", aor=f"u{n}") for n in range(20)]
    node.stop() if end == "stop" else node.kill()
    for file in (node.folder / "var").iterdir():
        file.unlink()
    node.start()
    wait_for(lambda: node.is_registered("u19"))
    wait_for(lambda: node.ctl("db_status")["loaded"])
    after = [node.ctl("ul_show_contact", table_name="location", aor=f"u{n}") for n in range(20)]
    for one, other in zip(before, after, strict=True):
        for shown in (one, other):
            shown["Contacts"][0].pop("Expires")
        assert one == other


def test_what_the_table_knows_better_is_not_loaded(
    url: str, rows: Rows, make_node: MakeNode, make_phone: MakePhone
) -> None:
    """Written late and killed before: the mapped table goes before the database."""
    node = make_node(settings(url, BACK, "interval_seconds = 3600")).start()
    phone = make_phone(node)
    for user in ("gone", "stays"):
        assert phone.register(user) == 200
    assert node.ctl("ul_flush") == "OK"
    assert phone.register("gone", cseq=2, expires=0) == 200
    assert phone.register("stays", cseq=2) == 200
    assert phone.register("new") == 200
    wait_for(lambda: node.ctl("db_status")["databases"][0]["pending"])
    node.kill()
    node.start()
    wait_for(lambda: node.ctl("db_status")["loaded"])
    assert node.ctl("ul_flush") == "OK"
    assert not node.is_registered("gone")
    found = {row["username"]: row["cseq"] for row in rows("SELECT * FROM location")}
    assert found == {"stays": 2, "new": 1}


def test_a_killed_storage_process_is_replaced_and_nothing_is_lost(
    url: str, rows: Rows, make_node: MakeNode, make_phone: MakePhone
) -> None:
    node = make_node(settings(url, THROUGH)).start()
    phone = make_phone(node)
    answered = 0
    for number in range(60):
        if number % 15 == 5:
            os.kill(node.storage_pid(), signal.SIGKILL)
        answered += phone.try_register(f"u{number}") == 200
    assert answered == 60
    assert len(rows("SELECT * FROM location")) == 60


def test_what_was_removed_stays_so_when_the_storage_process_dies(
    url: str, rows: Rows, make_node: MakeNode, make_phone: MakePhone
) -> None:
    node = make_node(settings(url, BACK, "interval_seconds = 3600")).start()
    phone = make_phone(node)
    wait_for(lambda: node.ctl("db_status")["loaded"])
    assert phone.register("alice") == 200
    assert node.ctl("ul_flush") == "OK"
    assert phone.register("alice", cseq=2, expires=0) == 200
    before = node.storage_pid()
    os.kill(before, signal.SIGKILL)
    wait_for(lambda: node.storage_pid() not in {0, before})
    wait_for(lambda: rows("SELECT * FROM location") == [])
    assert not node.is_registered("alice")


def test_sql_only_shares_one_database(
    url: str, rows: Rows, make_node: MakeNode, make_phone: MakePhone
) -> None:
    """What A has answered, B finds; both take REGISTERs of the same phone in turns."""
    nodes = [make_node(f'urls = ["{url}"]\nmode = "sql-only"').start() for _ in range(2)]
    phones = [make_phone(node) for node in nodes]
    for number in range(20):
        one, other = phones[number % 2], phones[1 - number % 2]
        assert one.register(f"u{number}") == 200
        other.say(invite(f"u{number}", other.port, number))
        assert one.reads_invite(f"u{number}"), "relayed to where it has just registered"
        other.drain()
    assert len(rows("SELECT * FROM location")) == 20
    for number in range(10):
        assert phones[number % 2].register("shared", cseq=10 + number) == 200
    found = rows("SELECT cseq, contact FROM location WHERE username = 'shared'")
    assert {row["cseq"] for row in found} <= {18, 19}
    assert len(found) == 2, "two phones"
    assert phones[0].register("shared", cseq=3) == 500, "out of order, whoever took the last"
    assert phones[1].register("shared", cseq=30, expires=0) == 200
    phones[0].say(invite("nobody", phones[0].port, 99))
    assert phones[0].receive()[0] in {100, 404, 480}


def test_sql_only_without_a_database_is_503(
    tmp_path: Path, make_node: MakeNode, make_phone: MakePhone
) -> None:
    node = make_node('urls = ["mysql://u:p@127.0.0.1:1/x"]\nmode = "sql-only"\nwait_seconds = 1')
    phone = make_phone(node.start())
    assert phone.register("alice") == 503
    phone.say(invite("alice", phone.port, 1))
    statuses = [phone.receive()[0] for _ in range(2)]
    assert statuses == [100, 503]


def invite(user: str, port: int, number: int) -> bytes:
    return (
        f"INVITE sip:{user}@example.com SIP/2.0\r\n"
        f"Via: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bKi{number};rport\r\n"
        f"From: <sip:caller@example.com>;tag=a\r\nTo: <sip:{user}@example.com>\r\n"
        f"Call-ID: invite-{number}\r\nCSeq: 1 INVITE\r\nMax-Forwards: 70\r\n"
        f"Contact: <sip:caller@127.0.0.1:{port}>\r\nContent-Length: 0\r\n\r\n"
    ).encode()
