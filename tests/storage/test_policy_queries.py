"""What policies read by `sql_query`: with real databases, slow ones, dead ones, and a busy node."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import pytest
from sqlalchemy import Engine, text

from loadtests.mariadb import MariaDb
from loadtests.registering import Node, Phone, wait_for
from workers.logs import Log
from workers.rehearsal import KeptLog
from workers.storage.database import Database, Unavailable
from workers.storage.setup import create

MakeNode = Callable[..., Node]
MakePhone = Callable[..., Phone]
pytestmark = pytest.mark.compiled

POLICY = """
SLOW = {
    "sqlite": "WITH RECURSIVE x(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM x WHERE n < 1000000000)"
    " SELECT count(*) FROM x",
    "mysql": "SELECT count(*) FROM information_schema.COLUMNS a, information_schema.COLUMNS b,"
    " information_schema.COLUMNS c",
}
QUERIES = {
    "gateway": "SELECT gateway, cost FROM routes WHERE prefix = :prefix",
    "many": "SELECT prefix FROM routes",
    "wrong": "SELECT nothing FROM routes",
    "slow": SLOW["KIND"],
    "large": "SELECT REPEAT FROM routes LIMIT 1",
}


async def on_request(request):
    if request.method == "REGISTER":
        request.save()
        return
    kind, _, prefix = request.uri.user.decode().partition(".")
    values = {"prefix": prefix} if kind == "gateway" else {}
    answer = await request.sql_query(QUERIES[kind], timeout=0.5, **values)
    what = [value.decode() if value else "NULL" for value in answer.first.values()]
    request.reply(200, answer.failure or f"{len(answer.rows)} {' '.join(what)}")
"""
TOO_LARGE = {"sqlite": "hex(zeroblob(40000))", "mysql": "RPAD(prefix, 70000, prefix)"}


def fill(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(
            text("CREATE TABLE routes (prefix VARCHAR(20), gateway VARCHAR(64), cost INTEGER)")
        )
        rows = [{"prefix": str(n), "gateway": f"192.0.2.{n}", "cost": n} for n in range(1, 200)]
        rows.append({"prefix": "none", "gateway": None, "cost": 0})
        insert = "INSERT INTO routes VALUES (:prefix, :gateway, :cost)"
        connection.execute(text(insert), rows)


def policy(node: Node, url: str) -> None:
    kind = url.partition("+")[0].partition(":")[0]
    kind = "sqlite" if kind == "sqlite" else "mysql"
    script = POLICY.replace("KIND", kind).replace("REPEAT", TOO_LARGE[kind])
    (node.folder / "policy.py").write_text(script)


def asking(user: str, port: int, number: int = 1) -> bytes:
    return (
        f"OPTIONS sip:{user}@example.com SIP/2.0\r\n"
        f"Via: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bK{user}{number};rport\r\n"
        f"From: <sip:a@example.com>;tag=a\r\nTo: <sip:b@example.com>\r\n"
        f"Call-ID: q-{user}-{number}\r\nCSeq: {number} OPTIONS\r\nMax-Forwards: 70\r\n"
        "Content-Length: 0\r\n\r\n"
    ).encode()


def reason(phone: Phone, user: str, number: int = 1) -> str:
    phone.say(asking(user, phone.port, number))
    return final(phone)


def final(phone: Phone) -> str:
    while True:
        line = phone.socket.recv(65_536).partition(b"\r\n")[0].decode()
        if not line.startswith("SIP/2.0 100"):
            return line.removeprefix("SIP/2.0 200 ")


def test_policies_read_a_database(
    url: str, engine: Engine, make_node: MakeNode, make_phone: MakePhone
) -> None:
    fill(engine)
    node = make_node(f'urls = ["{url}"]', '[routing]\nscript = "policy.py"')
    policy(node, url)
    phone = make_phone(node.start())
    for user, answer in (
        ("gateway.7", "1 192.0.2.7 7"),
        ("gateway.none", "1 NULL 0"),
        ("gateway.700", "0 "),
        ("gateway.7%27%20OR%201", "0 "),
        ("many", "200 1"),
        ("wrong", "the database has refused the statement"),
        ("large", "the answer is too large"),
    ):
        assert reason(phone, user) == answer, user
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO routes VALUES ('one more', NULL, 0)"))
    assert reason(phone, "many", 2) == "the answer is too large"
    assert "query refused" in node.log
    assert node.count("sipherd:sql_query_failures") == 3


def test_nothing_is_written(url: str, engine: Engine, rows: Callable[[str], list[object]]) -> None:
    fill(engine)
    database = Database(url, cast(Log, KeptLog()), reading=True)
    with pytest.raises(Unavailable):
        database.transaction(lambda each: each.execute(text("DELETE FROM routes")))
    assert len(rows("SELECT * FROM routes")) == 200
    database.close()


def test_slow_queries_hold_up_nobody(
    url: str, engine: Engine, make_node: MakeNode, make_phone: MakePhone
) -> None:
    fill(engine)
    storage = f'urls = ["{url}"]\nmode = "single-instance-sql-write-through"'
    node = make_node(storage, '[routing]\nscript = "policy.py"')
    policy(node, url)
    node.start()
    phone, slow = make_phone(node), make_phone(node)
    storage_pid = node.storage_pid()
    for number in range(12):
        slow.say(asking("slow", slow.port, number))
    phone.send("alice")
    assert final(phone) == "OK", "the 200 waits for the database, and not for those"
    answers = [final(slow) for _ in range(12)]
    refused = {"no answer in time", "the database has refused the statement"}
    assert set(answers) <= refused
    numbers = iter(range(1, 10_000))
    wait_for(lambda: reason(phone, "gateway.7", next(numbers)) == "1 192.0.2.7 7")
    assert node.storage_pid() == storage_pid


def test_a_database_that_is_away_is_a_failure_and_no_more(
    mariadb: MariaDb, make_node: MakeNode, make_phone: MakePhone
) -> None:
    url = mariadb.url("queried")
    create(url)
    node = make_node(f'urls = ["{url}"]', '[routing]\nscript = "policy.py"')
    policy(node, url)
    phone = make_phone(node.start())
    assert reason(phone, "gateway.1").startswith("the database has refused")
    mariadb.stop()
    assert reason(phone, "gateway.1", 2) in {"no database can be asked", "no answer in time"}
    mariadb.start()
    numbers = iter(range(3, 10_000))
    wait_for(lambda: reason(phone, "gateway.1", next(numbers)).startswith("the database"), 30)


def test_without_databases_every_query_fails(make_node: MakeNode, make_phone: MakePhone) -> None:
    node = make_node("", '[routing]\nscript = "policy.py"')
    policy(node, "sqlite:")
    phone = make_phone(node.start())
    assert reason(phone, "many") == "no database can be asked"
