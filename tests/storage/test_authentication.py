"""Who gets in with real tables: SQLite and MariaDB, odd rows, and a database that dies."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from loadtests.guessing import Guesser
from loadtests.mariadb import MariaDb
from loadtests.registering import Node, Phone, wait_for
from proxy.sip.digest import ha1s_of
from workers.control_client import ask
from workers.storage.setup import create
from workers.storage.subscribers import add_user

MakeNode = Callable[..., Node]
Line = Callable[[Node, str], Guesser]
DOMAIN = "example.com"
PASSWORD = "correct-horse"
TRUNK = """
from proxy.routing.request import Request


async def on_request(request: Request) -> None:
    trunk = request.check_source_address(1)
    await request.alias_lookup()
    where = f"{request.is_for_us} {request.uri.user.decode()}"
    request.reply(200 if trunk else 403, f"{where} {trunk.context_info if trunk else ''}".strip())
"""


def authenticating(url: str, more: str = "") -> tuple[str, str]:
    return f'urls = ["{url}"]', f'[auth]\nenabled = true\nalgorithms = ["MD5"]\n{more}'


@pytest.fixture
def line() -> Iterator[Line]:
    with ExitStack() as stack:

        def make(node: Node, user: str) -> Guesser:
            guesser = Guesser(("127.0.0.1", node.port), user)
            stack.callback(guesser.sock.close)
            return guesser

        yield make


def insert(engine: Engine, table: str, **row: object) -> None:
    names = ", ".join(row)
    values = ", ".join(f":{name}" for name in row)
    with engine.begin() as connection:
        connection.execute(text(f"INSERT INTO {table} ({names}) VALUES ({values})"), row)


def ha1(user: str, password: str = PASSWORD) -> str:
    return ha1s_of(user.encode(), DOMAIN.encode(), password.encode())[0].decode()


# -- rows -----------------------------------------------------------------------------------------


def test_no_name_that_a_database_takes_for_equal_gets_in(
    url: str, make_node: MakeNode, line: Line
) -> None:
    add_user(url, "alice", DOMAIN, DOMAIN, PASSWORD)
    add_user(url, "J\N{LATIN SMALL LETTER U WITH DIAERESIS}rg", DOMAIN, DOMAIN, PASSWORD)
    add_user(url, "\N{MUSHROOM}", DOMAIN, DOMAIN, PASSWORD)
    node = make_node(*authenticating(url)).start()
    assert line(node, "alice").guess(PASSWORD, 0) == 200
    for other in ("ALICE", "Alice", "\N{LATIN SMALL LETTER A WITH ACUTE}lice", "alic\N{MUSHROOM}"):
        assert line(node, other).guess(PASSWORD, 0) == 401
    for hostile in ("alice' OR '1'='1", "alice'; DROP TABLE subscriber; --", "a%' -- ", "alice "):
        assert refused(line(node, "alice"), hostile) == 401
    assert refused(line(node, "alice"), "alice\\' OR 1=1 -- ") == 400
    assert line(node, "alice").guess(PASSWORD, 0) == 200
    assert node.count("sipherd:internal_errors") == 0


def refused(guesser: Guesser, username: str) -> int:
    """What the right password of alice brings under another name, of the same hash."""
    guesser.register()
    guesser.guess(PASSWORD, 0)
    honest = guesser.last_line
    guesser.register()
    nonce = guesser.challenges[0][0]
    forged = re.sub(r'nonce="[^"]+"', f'nonce="{nonce}"', honest)
    return guesser.register(forged.replace('username="alice"', f'username="{username}"'))


def test_odd_columns_let_nobody_in(
    url: str, engine: Engine, make_node: MakeNode, line: Line
) -> None:
    """Empty, cut short, padded, of another letter case; a hash of nothing is no password."""
    right = ha1("padded")
    rows = {"empty": "", "short": ha1("short")[:-1], "zeros": "0" * 32, "padded": f" {right} "}
    rows |= {"upper": ha1("upper").upper(), "words": "no hash at all", "plain": PASSWORD}
    for user, column in rows.items():
        insert(engine, "subscriber", username=user, domain=DOMAIN, password="", ha1=column)
    node = make_node(*authenticating(url)).start()
    let_in = [user for user in rows if line(node, user).guess(PASSWORD, 0) == 200]
    assert let_in == ["padded", "upper"], "space around a hash, and its case, change nothing"
    for user in rows:
        assert line(node, user).guess("", 0) == 401
        assert line(node, user).guess(rows[user], 0) == 401


def test_columns_that_may_be_null(
    tmp_path: Path, mariadb: MariaDb, make_node: MakeNode, line: Line
) -> None:
    """A table of one's own, in latin1, with NULL where OpenSIPS has none; plain passwords."""
    url = mariadb.url("odd")
    create(url)
    mariadb.sql(
        "ALTER TABLE subscriber CONVERT TO CHARACTER SET latin1,"
        " MODIFY password CHAR(25) NULL, MODIFY ha1 CHAR(64) NULL;"
        " INSERT INTO subscriber (username, domain, password, ha1) VALUES"
        f" ('nulls', '{DOMAIN}', NULL, NULL), ('long', '{DOMAIN}', '{'x' * 25}', NULL),"
        f" ('empty', '{DOMAIN}', '', NULL)",
        "odd",
    )
    node = make_node(*authenticating(url, "calculate_ha1 = true\n")).start()
    assert line(node, "long").guess("x" * 25, 0) == 200
    for user, password in (("nulls", ""), ("nulls", "None"), ("empty", ""), ("long", "x" * 26)):
        assert line(node, user).guess(password, 0) == 401
    for stranger in ("\N{MUSHROOM}", "\N{CYRILLIC CAPITAL LETTER ZHE}"):  # letters latin1 lacks
        assert line(node, stranger).guess("x", 0) == 401
    assert line(node, "nobody").guess("x", 0) == 401, "nor is the database away for it"
    assert "query refused" not in node.log


# -- a database that dies -------------------------------------------------------------------------


def test_mariadb_hangs_and_dies_and_comes_back(
    mariadb: MariaDb, make_node: MakeNode, line: Line
) -> None:
    url = mariadb.url("users")
    create(url)
    for user in ("alice", "bob"):
        add_user(url, user, DOMAIN, DOMAIN, PASSWORD)
    cache = "cache_ttl = 1\nstale_seconds = 600\nnegative_ttl = 1\n"
    node = make_node(*authenticating(url, cache)).start()
    known = line(node, "alice")
    assert known.guess(PASSWORD, 0) == 200
    for number in (signal.SIGSTOP, signal.SIGKILL):
        mariadb.signal(number)
        # The first who asks finds it out, and from then on nobody who is known waits.
        assert wait_for(lambda: line(node, f"zoe{time.time_ns()}").guess("x", 0) == 503)
        assert known.guess(PASSWORD, 0) == 200
        waits, asked = node.count("sipherd:auth_waits"), node.count("sipherd:auth_fetches")

        def goes_on_asking(asked: int = asked) -> bool:
            assert known.guess(PASSWORD, 0) == 200
            return node.count("sipherd:auth_fetches") > asked

        wait_for(goes_on_asking)  # once the cached answer is too old
        assert node.count("sipherd:auth_waits") == waits, "nobody who is known waits"
        if number == signal.SIGSTOP:
            mariadb.signal(signal.SIGCONT)
        else:
            mariadb.revive()
        wait_for(lambda: line(node, "bob").guess(PASSWORD, 0) == 200, 25)
        assert line(node, "alice").guess("wrong", 0) == 401
        wait_for(lambda: known.guess(PASSWORD, 0) == 200)
    assert node.count("sipherd:internal_errors") == 0


def test_a_replay_after_a_restart_and_after_a_death_is_still_one(
    url: str, make_node: MakeNode, line: Line
) -> None:
    add_user(url, "alice", DOMAIN, DOMAIN, PASSWORD)
    node = make_node(*authenticating(url)).start()
    alice = line(node, "alice")
    assert alice.guess(PASSWORD, 0) == 200
    captured = alice.last_line
    for end in (node.stop, node.kill):
        end()
        node.start()
        thieves = [line(node, "alice") for _ in range(6)]  # Call-IDs of both workers
        assert [thief.register(captured) for thief in thieves] == [401] * 6
        assert "stale=true" in thieves[0].last_answer
    (node.folder / "var" / "nonces.table").unlink()
    node.kill()
    node.start()
    assert line(node, "alice").register(captured) == 401


def test_a_nonce_of_one_server_is_good_for_the_other_of_its_secret(
    url: str, make_node: MakeNode, line: Line
) -> None:
    """Each counts what a nonce was used for by itself, so a replay is one where it was used."""
    add_user(url, "alice", DOMAIN, DOMAIN, PASSWORD)
    nodes = [make_node(*authenticating(url)) for _ in range(3)]
    for node, secret in zip(nodes, ("s" * 40, "s" * 40, "t" * 40), strict=True):
        written = node.file.read_text()
        node.file.write_text(written.replace("[node]", f'[node]\nsecret = "{secret}"', 1))
        node.start()
    one, sibling, stranger = (line(node, "alice") for node in nodes)
    assert one.guess(PASSWORD, 0) == 200
    first = one.last_line
    sibling.challenges, sibling.nc = one.challenges, one.nc
    assert sibling.guess(PASSWORD, 0) == 200, "not asked again"
    assert one.register(first) == 401
    assert "stale=true" in one.last_answer, "a replay where it was used"
    assert one.register(sibling.last_line) == 200, "nc 2 was not used there"
    assert sibling.register(sibling.last_line) == 401
    assert sibling.register(first) == 200, "the other way about: docs/authentication.md says so"
    assert sibling.register(first) == 401
    assert stranger.register(first) == 401, "another secret makes other nonces"
    assert "stale" not in stranger.last_answer
    assert stranger.guess(PASSWORD, 0) == 200
    assert stranger.guess("wrong", 0) == 401


# -- lists, without [auth] ------------------------------------------------------------------------


@pytest.fixture
def trunking(url: str, make_node: MakeNode, tmp_path: Path) -> Node:
    (tmp_path / "trunk.py").write_text(TRUNK)
    return make_node(f'urls = ["{url}"]', f'[routing]\nscript = "{tmp_path}/trunk.py"').start()


def options(phone: Phone, number: int, uri: str = "sip:sales@example.net") -> str:
    """The first line of the answer to an OPTIONS."""
    phone.say(
        f"OPTIONS {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{phone.port};"
        f"branch=z9hG4bK-{number};rport\r\nMax-Forwards: 9\r\nFrom: <sip:x@example.org>;tag=1\r\n"
        f"To: <{uri}>\r\nCall-ID: o-{number}\r\nCSeq: 1 OPTIONS\r\n"
        "Content-Length: 0\r\n\r\n".encode()
    )
    return phone.socket.recv(65_535).decode().partition("\r\n")[0]


def test_rows_added_and_read_anew_are_what_the_policy_sees(
    trunking: Node, engine: Engine, make_phone: Callable[..., Phone]
) -> None:
    phone = make_phone(trunking)
    assert trunking.ctl("address_reload") == "OK"
    assert options(phone, 0) == "SIP/2.0 403 False sales"
    insert(engine, "address", grp=1, ip="127.0.0.0", mask=8, port=0, proto="any", context_info="30")
    insert(engine, "domain", domain="example.net")
    alias = {"alias_username": "sales", "alias_domain": "example.net"}
    insert(engine, "dbaliases", **alias, username="alice", domain="example.net")
    assert trunking.ctl("address_reload") == trunking.ctl("domain_reload") == "OK"
    assert [each["mask"] for each in trunking.ctl("subnet_dump")["Partitions"][0]["Destinations"]]
    numbers = iter(range(1, 1_000))

    def all_say(wanted: str) -> bool:  # Call-IDs of both workers
        return all(options(phone, next(numbers)) == wanted for _ in range(10))

    # That there is no such alias is believed for a while.
    wait_for(lambda: all_say("SIP/2.0 200 True sales 30"), 3)
    assert trunking.ctl("auth_drop") == "OK"
    assert all_say("SIP/2.0 200 True alice 30")
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM address"))
    assert trunking.ctl("address_reload") == "OK"
    wait_for(lambda: all_say("SIP/2.0 403 True alice"), 3)


def test_a_reload_that_cannot_be_says_so_and_changes_nothing(
    mariadb: MariaDb, make_node: MakeNode
) -> None:
    url = mariadb.url("lists")
    create(url)
    mariadb.sql("INSERT INTO domain (domain) VALUES ('example.net')", "lists")
    node = make_node(f'urls = ["{url}"]\nwait_seconds = 1.0').start()
    wait_for(lambda: node.ctl("domain_dump")["Domains"])
    mariadb.signal(signal.SIGKILL)
    answer = ask(node.folder / "var", "domain_reload", {})
    assert "No rows have come" in answer["error"]["message"]
    assert [each["name"] for each in node.ctl("domain_dump")["Domains"]] == ["example.net"]
    node.stop()
    node.start()
    assert [each["name"] for each in node.ctl("domain_dump")["Domains"]] == ["example.net"]
