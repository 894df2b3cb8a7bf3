"""Whatever is killed, stopped, refused or full: a 200 is in the table, and phones go on."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url

from loadtests.mariadb import USER, MariaDb
from loadtests.registering import Node, Phone, wait_for
from workers.storage.database import make_engine
from workers.storage.setup import create

MakeNode = Callable[..., Node]
MakePhone = Callable[..., Phone]
THROUGH = 'mode = "single-instance-sql-write-through"'
BACK = 'mode = "single-instance-sql-write-back"'
DEATHS = 5  # loadtests/durability.py dies a hundred times


def usernames(url: str) -> set[str]:
    engine = make_engine(make_url(url))
    with engine.connect() as connection:
        return set(connection.execute(text("SELECT username FROM location")).scalars())


def promises(phone: Phone) -> set[str]:
    """Whom the next answer promises to be registered."""
    status, call_id = phone.receive()
    return {call_id.removeprefix("call-")} if status == 200 else set()


def test_no_200_is_lost_when_databases_and_servers_are_killed(
    mariadb: MariaDb, make_node: MakeNode, make_phone: MakePhone
) -> None:
    url = mariadb.url("kills")
    create(url)
    node = make_node(f'urls = ["{url}"]\n{THROUGH}\nwait_seconds = 1.0').start()
    chance = random.Random(7)
    promised: set[str] = set()
    for death in range(DEATHS):
        phone = make_phone(node)
        for number in range(60):
            phone.send(f"d{death}n{number}")
        for _ in range(chance.randrange(5, 40)):  # and then, in the midst of it
            promised |= promises(phone)
        if death % 2:
            node.kill()
        else:
            mariadb.signal(signal.SIGKILL)
        phone.socket.settimeout(0.3)
        try:
            while True:
                promised |= promises(phone)
        except (TimeoutError, ConnectionError):
            pass
        if death % 2:
            node.start()
        else:
            mariadb.start()
        assert promised <= usernames(url)
        again = make_phone(node)
        wait_for(lambda death=death, again=again: again.try_register(f"after{death}") == 200, 20)
    assert len(promised) > DEATHS * 3


def test_a_silent_database_costs_503_and_nothing_else(
    mariadb: MariaDb, make_node: MakeNode, make_phone: MakePhone
) -> None:
    url = mariadb.url("silent")
    create(url)
    node = make_node(f'urls = ["{url}"]\n{THROUGH}\nwait_seconds = 0.3').start()
    phone = make_phone(node)
    wait_for(lambda: phone.try_register("alice") == 200)
    mariadb.signal(signal.SIGSTOP)
    before = node.storage_pid()
    assert phone.register("bob") == 503
    assert node.is_registered("bob"), "calls reach him"
    for number in range(20):
        phone.send(f"u{number}")
    assert {phone.receive()[0] for _ in range(20)} == {503}
    wait_for(lambda: node.ctl("db_status")["databases"][0]["state"] == "down", 20)
    mariadb.signal(signal.SIGCONT)
    wait_for(lambda: phone.try_register("carol") == 200, 30)
    wait_for(lambda: {"alice", "bob", "carol", "u19"} <= usernames(url))
    assert node.storage_pid() == before, "a silent server costs no process"
    assert node.count("storage:parked_late") >= 20


def test_refused_logins_are_an_outage_and_no_secret_is_told(
    mariadb: MariaDb, make_node: MakeNode, make_phone: MakePhone
) -> None:
    url = mariadb.url("login")
    create(url)
    mariadb.sql(f"ALTER USER '{USER}'@'127.0.0.1' IDENTIFIED BY 'another'")
    try:
        node = make_node(f'urls = ["{url}"]\n{BACK}\ninterval_seconds = 0.1').start()
        phone = make_phone(node)
        wait_for(lambda: phone.try_register("alice") == 200)
        state = node.ctl("db_status")["databases"][0]
        wait_for(lambda: node.ctl("db_status")["databases"][0]["state"] == "down")
        assert "Access denied" in node.ctl("db_status")["databases"][0]["error"]
    finally:
        mariadb.start_users()
    wait_for(lambda: usernames(url) == {"alice"}, 30)
    password = make_url(url).password
    assert isinstance(password, str)
    assert "***" in state["url"]
    for told in (node.log, str(node.ctl("db_status")), str(node.ctl("db_get"))):
        assert password not in told
        assert "s3cret" not in told


def test_a_full_disk_is_an_outage(
    mariadb: MariaDb, make_node: MakeNode, make_phone: MakePhone
) -> None:
    """A MEMORY table at its limit refuses a row as a full disk does: 1114, the table is full."""
    url = mariadb.url("full")
    create(url)
    mariadb.sql(
        "ALTER TABLE location MODIFY contact VARCHAR(2000), MODIFY kv_store VARCHAR(2000);"
        "SET max_heap_table_size = 16384; ALTER TABLE location ENGINE = MEMORY, MAX_ROWS = 2",
        "full",
    )
    node = make_node(f'urls = ["{url}"]\n{THROUGH}\nwait_seconds = 0.5').start()
    phone = make_phone(node)
    statuses = [phone.register("u0")]
    while statuses[-1] == 200 and len(statuses) < 500:
        statuses.append(phone.register(f"u{len(statuses)}"))
    assert statuses[0] == 200
    assert statuses[-1] == 503
    promised = {f"u{number}" for number, status in enumerate(statuses) if status == 200}
    assert promised <= usernames(url)
    mariadb.sql("ALTER TABLE location ENGINE = InnoDB", "full")
    wait_for(lambda: usernames(url) == {f"u{n}" for n in range(len(statuses))}, 30)


def test_failover_and_fail_back(
    mariadb: MariaDb, tmp_path: Path, make_node: MakeNode, make_phone: MakePhone
) -> None:
    first, second = mariadb.url("first"), f"sqlite:///{tmp_path}/second.db"
    create(first)
    create(second)
    node = make_node(f'urls = ["{first}", "{second}"]\n{THROUGH}').start()
    phone = make_phone(node)
    wait_for(lambda: phone.try_register("alice") == 200)
    assert (usernames(first), usernames(second)) == ({"alice"}, set())
    mariadb.signal(signal.SIGKILL)
    wait_for(lambda: phone.try_register("bob") == 200)
    assert usernames(second) == {"alice", "bob"}, "what the first one had was copied"
    mariadb.start()
    wait_for(lambda: node.ctl("db_status")["databases"][0]["in_use"], 30)
    assert phone.register("carol") == 200
    assert usernames(first) == {"alice", "bob", "carol"}
    assert usernames(second) == {"alice", "bob"}


def test_parallel_writes_and_catches_up(
    mariadb: MariaDb, tmp_path: Path, make_node: MakeNode, make_phone: MakePhone
) -> None:
    first, second = mariadb.url("left"), f"sqlite:///{tmp_path}/right.db"
    create(first)
    create(second)
    node = make_node(f'urls = ["{first}", "{second}"]\n{THROUGH}\npolicy = "parallel"').start()
    phone = make_phone(node)
    wait_for(lambda: phone.try_register("alice") == 200)
    assert usernames(first) == usernames(second) == {"alice"}
    mariadb.signal(signal.SIGKILL)
    wait_for(lambda: phone.try_register("bob") == 200)
    assert usernames(second) == {"alice", "bob"}
    mariadb.start()
    wait_for(lambda: usernames(first) == {"alice", "bob"}, 30)


def test_an_operator_forbids_a_database(
    tmp_path: Path, make_node: MakeNode, make_phone: MakePhone
) -> None:
    urls = [f"sqlite:///{tmp_path}/{name}.db" for name in ("one", "two")]
    for url in urls:
        create(url)
    node = make_node(f'urls = ["{urls[0]}", "{urls[1]}"]\n{THROUGH}').start()
    phone = make_phone(node)
    wait_for(lambda: phone.try_register("alice") == 200)
    assert node.ctl("db_set", set_index=0, db_url_index=0, may_use_db_flag=0) == "OK"
    wait_for(lambda: node.ctl("db_status")["databases"][1]["in_use"])
    assert phone.register("bob") == 200
    assert usernames(urls[1]) == {"alice", "bob"}
    assert node.ctl("db_set", set_index=0, db_url_index=0, may_use_db_flag=1) == "OK"
    wait_for(lambda: node.ctl("db_status")["databases"][0]["in_use"])
    assert usernames(urls[0]) == {"alice", "bob"}


def test_a_row_that_the_database_refuses_does_not_hold_up_others(
    mariadb: MariaDb, make_node: MakeNode, make_phone: MakePhone
) -> None:
    url = mariadb.url("narrow")
    create(url)
    mariadb.sql(
        "ALTER TABLE location CONVERT TO CHARACTER SET latin1;"
        "ALTER TABLE location ADD CHECK (username <> 'poison')",
        "narrow",
    )
    node = make_node(f'urls = ["{url}"]\n{THROUGH}').start()
    phone = make_phone(node)
    for user in ("alice", "poison", "carol", "bob"):
        phone.send(user, agent="\N{MUSHROOM}" if user == "carol" else "x")
    assert [phone.receive()[0] for _ in range(4)] == [200] * 4
    assert usernames(url) == {"alice", "bob", "carol"}
    assert "row refused" in node.log
    assert "row refused" in node.log


@pytest.mark.parametrize("signal_number", [signal.SIGSTOP, signal.SIGKILL])
def test_the_packet_path_does_not_notice(
    mariadb: MariaDb,
    make_node: MakeNode,
    make_phone: MakePhone,
    signal_number: signal.Signals,
) -> None:
    """In write-back an outage is nobody's business but the storage process's."""
    url = mariadb.url("outage")
    create(url)
    node = make_node(f'urls = ["{url}"]\n{BACK}\ninterval_seconds = 0.1').start()
    phone = make_phone(node)
    wait_for(lambda: phone.try_register("alice") == 200)
    wait_for(lambda: usernames(url) == {"alice"})
    mariadb.signal(signal_number)
    for number in range(2, 200):
        assert phone.register("alice", cseq=number) == 200
    if signal_number is signal.SIGKILL:
        mariadb.start()
    else:
        mariadb.signal(signal.SIGCONT)
    engine = make_engine(make_url(url))

    def newest() -> int:
        with engine.connect() as connection:
            return int(connection.execute(text("SELECT cseq FROM location")).scalar() or 0)

    wait_for(lambda: newest() == 199, 30)
