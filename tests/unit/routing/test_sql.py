"""SQL questions of a policy: what may be asked, what comes back, and what a policy sees of it."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.limits.bounds import SQL_ROWS, SQL_SECONDS, SQL_STATEMENT_BYTES, SQL_VALUE_BYTES
from proxy.routing.pending import LATE
from proxy.routing.sql import SqlAnswer, Value, answer_of, decode_query, encode_query
from proxy.storage.kinds import Fields, Status
from workers.policy_kit import PolicyKit
from workers.questions import Answer

TABLE = """
    CREATE TABLE routes (prefix TEXT, gateway TEXT, cost INTEGER);
    INSERT INTO routes VALUES ('49', '192.0.2.50', 3), ('4930', '192.0.2.51', 5), ('1', NULL, 0);
"""
SCRIPT = """
    async def on_request(request):
        answer = await request.sql_query(
            "SELECT gateway, cost FROM routes WHERE :number LIKE prefix || :any"
            " ORDER BY length(prefix) DESC",
            number=request.uri.user, any="%",
        )
        gateway, cost = answer.first.get("gateway"), answer.first.get("cost")
        request.reply(200, f"{answer.failure or 'ok'} {len(answer.rows)} {gateway} {cost}")
"""


@pytest.fixture
def kit(tmp_path: Path) -> Callable[[str], PolicyKit]:
    def made(script: str) -> PolicyKit:
        path = tmp_path / "routing.py"
        path.write_text(textwrap.dedent(script))
        made = PolicyKit(path)
        made.database.script(TABLE)
        return made

    return made


def test_a_policy_reads_a_table(kit: Callable[[str], PolicyKit]) -> None:
    office = kit(SCRIPT)
    for number, line in (
        ("4930123", "200 ok 2 b'192.0.2.51' b'5'"),
        ("123", "200 ok 1 None b'0'"),
        ("7", "200 ok 0 None None"),
        ("%27%20OR%201", "200 ok 0 None None"),
    ):
        sent = office.request("OPTIONS", f"sip:{number}@example.com")
        assert [one.line for one in sent] == [line]
    assert office.count("sipherd:sql_queries") == 4
    office.database.away = True
    (sent_back,) = office.request("OPTIONS", "sip:49@example.com")
    assert sent_back.line == "200 no database can be asked 0 None None"
    assert office.count("sipherd:sql_query_failures") == 1


@pytest.mark.parametrize(
    "call",
    [
        "request.sql_query('DELETE FROM routes')",
        "request.sql_query('SELECT * FROM nothing', timeout=9)",
        "request.sql_query('SELECT :a', b=1)",
        "request.sql_query('SELECT :a', a=[1])",
    ],
)
def test_a_policy_that_asks_wrongly_is_at_fault(kit: Callable[[str], PolicyKit], call: str) -> None:
    office = kit(f"async def on_request(request):\n    await {call}\n")
    (sent,) = office.request("OPTIONS", "sip:1@example.com")
    assert sent.line.startswith("500 ")
    assert office.count("sipherd:policy_errors") == 1


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE routes SET cost = 0",
        "SELECT * FROM routes WHERE prefix = '49'",
        'SELECT * FROM routes WHERE prefix = "49"',
        "SELECT 1; DROP TABLE routes",
        "SELECT 1 -- all of it",
        "SELECT 1 # all of it",
        "SELECT /*!50000 1 */ 2",
        "SELECT prefix INTO OUTFILE :f FROM routes",
        "SELECT 1 FROM routes FOR  UPDATE",
        "SELECTED",
        "",
        "SELECT :a, :b",
        "SELECT 1" + " " * SQL_STATEMENT_BYTES,
    ],
)
def test_what_is_no_query(statement: str) -> None:
    with pytest.raises(ValueError, match="a query"):
        encode_query(statement, {"a": 1, "f": "x"} if ":f" in statement else {"a": 1}, 1.0)


def test_a_value_that_is_too_large_or_a_time_that_is_too_long() -> None:
    encode_query("SELECT :a", {"a": b"x" * (SQL_VALUE_BYTES)}, SQL_SECONDS)
    with pytest.raises(ValueError, match="has at most"):
        encode_query("SELECT :a", {"a": b"x" * (SQL_VALUE_BYTES + 1)}, 1.0)
    for seconds in (0, -1, SQL_SECONDS + 1, float("nan")):
        with pytest.raises(ValueError, match="may take"):
            encode_query("SELECT 1", {}, seconds)


@pytest.mark.parametrize("value", ["é", b"abc", 17, -1, 0.5, None, "", b""])
def test_values_travel(value: Value) -> None:
    seconds, statement, values = decode_query(encode_query("with x SELECT :a", {"a": value}, 0.25))
    found = values["a"]
    assert (seconds, statement) == (0.25, "with x SELECT :a")
    assert found == (value.decode() if isinstance(value, bytes) else value)
    assert type(found) is (str if isinstance(value, bytes) else type(value))


def test_bytes_that_are_no_text_travel_as_such_that_match_nothing() -> None:
    assert decode_query(encode_query("SELECT :a", {"a": b"\xff"}, 1))[2]["a"] == "\ufffd"


@pytest.mark.parametrize("fields", [[], [b"1"], [None, b"x"], [b"x", b"y"], [b"1", b"x", b"n"]])
def test_what_is_no_question(fields: Fields) -> None:
    with pytest.raises(ValueError, match=r"cut short|invalid literal"):
        decode_query(fields)


def test_answers() -> None:
    rows: list[Fields] = [[b"a", b"b"], [b"1", None], [b"2", b"x"]]
    answer = answer_of(Answer(Status.ANSWERED, rows))
    assert answer == SqlAnswer([{"a": b"1", "b": None}, {"a": b"2", "b": b"x"}])
    assert answer.ok
    assert answer.first == {"a": b"1", "b": None}
    empty = answer_of(Answer(Status.ANSWERED, []))
    assert (empty.ok, empty.first) == (True, {})
    for status in (Status.UNAVAILABLE, Status.FAILED, Status.TOO_LARGE, Status.TOO_MANY):
        failed = answer_of(Answer(status, []))
        assert not failed.ok
        assert failed.first == {}
    assert answer_of(LATE).failure == "no answer in time"


def test_too_many_rows_are_none(kit: Callable[[str], PolicyKit]) -> None:
    office = kit(
        """
        async def on_request(request):
            answer = await request.sql_query("SELECT prefix FROM routes")
            request.reply(200, f"{len(answer.rows)} {answer.failure}")
        """
    )
    (sent,) = office.request("OPTIONS", "sip:1@example.com")
    assert sent.line == "200 3 "
    rows = ",".join(f"('{n}', NULL, 0)" for n in range(SQL_ROWS))
    office.database.script(f"INSERT INTO routes VALUES {rows}")
    (sent,) = office.request("OPTIONS", "sip:1@example.com")
    assert sent.line == "200 0 the answer is too large"
