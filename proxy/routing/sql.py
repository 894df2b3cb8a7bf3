"""SQL questions of policies: answered by the process `storage`, bounded in number, size and time.

What is read is asked of the databases of `[storage]`; nothing is written, for a policy that gets no
answer in time could not tell whether it has been. Values from a network travel beside the statement
and never in it: one that holds a text in quotes is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from proxy.limits.bounds import SQL_SECONDS, SQL_STATEMENT_BYTES, SQL_VALUE_BYTES, SQL_VALUES
from proxy.limits.counters import SQL_QUERIES, SQL_QUERY_FAILURES
from proxy.routing.pending import LATE, Pending
from proxy.shm.slots import Counters
from proxy.storage.kinds import Fields, Kind, Status

Value = str | bytes | int | float | None
Ask = Callable[[int, Fields, Pending, float], None]

FAILURES: Final = {
    Status.ANSWERED: "",
    Status.UNAVAILABLE: "no database can be asked",
    Status.FAILED: "the database has refused the statement",
    Status.TOO_LARGE: "the answer is too large",
    Status.TOO_MANY: "too many questions are open",
}
TOO_LATE: Final = "no answer in time"
_READS: Final = re.compile(r"\s*(SELECT|WITH)\b", re.IGNORECASE)
_REFUSED: Final = re.compile(r"['\"\\;#]|--|/\*|\bINTO\b|\bFOR\s+UPDATE\b", re.IGNORECASE)
_NAME: Final = re.compile(r":([A-Za-z_]\w*)")


@dataclass(frozen=True, slots=True)
class SqlAnswer:
    """What came of a query: rows by the names of their columns, or the `failure` in words.

    A value is bytes, numbers in decimal; None is NULL.
    """

    rows: list[dict[str, bytes | None]] = field(default_factory=list)
    failure: str = ""

    @property
    def ok(self) -> bool:
        """Whether the database has answered, be it with no row at all."""
        return not self.failure

    @property
    def first(self) -> dict[str, bytes | None]:
        """The first row; an empty one when there is none."""
        return self.rows[0] if self.rows else {}


class SqlQuery(Pending):
    """One query that a policy awaits; its result is what the storage process has answered."""

    def __init__(self, counters: Counters) -> None:
        super().__init__()
        self.counters = counters

    def outcome(self) -> SqlAnswer:
        """What `await` gives."""
        answer = answer_of(self.result)
        if answer.failure:
            self.counters.add(SQL_QUERY_FAILURES, 1)
        return answer


class SqlQueries:
    """The queries of one worker's policies; `ask` asks the storage process."""

    def __init__(self, ask: Ask, counters: Counters) -> None:
        self.ask = ask
        self.counters = counters

    def query(self, statement: str, values: dict[str, Value], seconds: float) -> SqlQuery:
        """Ask; what is returned is finished within `seconds`."""
        fields = encode_query(statement, values, seconds)
        self.counters.add(SQL_QUERIES, 1)
        asked = SqlQuery(self.counters)
        self.ask(int(Kind.QUERY), fields, asked, seconds)
        return asked


def answer_of(result: Any) -> SqlAnswer:
    """What the storage process has answered, or LATE, as a policy sees it."""
    if result is LATE:
        return SqlAnswer(failure=TOO_LATE)
    if result.status != Status.ANSWERED or not result.rows:
        return SqlAnswer(failure=FAILURES[result.status])
    columns = [(name or b"").decode() for name in result.rows[0]]
    rows = [dict(zip(columns, row, strict=True)) for row in result.rows[1:]]
    return SqlAnswer(rows)


def encode_query(statement: str, values: dict[str, Value], seconds: float) -> Fields:
    """The fields of the question; ValueError for what is none: the policy is at fault."""
    if not 0 < seconds <= SQL_SECONDS:
        raise ValueError(f"a query may take up to {SQL_SECONDS} seconds")
    if len(statement) > SQL_STATEMENT_BYTES or len(values) > SQL_VALUES:
        raise ValueError(f"a query has {SQL_STATEMENT_BYTES} letters and {SQL_VALUES} values")
    if not _READS.match(statement):
        raise ValueError("a query reads: it begins with SELECT or WITH")
    refused = _REFUSED.search(statement)
    if refused:
        raise ValueError(
            f"a query has no {refused[0]} in it: write :name, and give name=value beside it"
        )
    named = set(_NAME.findall(statement))
    if named != set(values):
        odd = ", ".join(sorted(named ^ set(values)))
        raise ValueError(f"a query names each of its values, and no other: {odd}")
    fields: Fields = [b"%d" % round(seconds * 1_000), statement.encode()]
    for name, value in values.items():
        fields += [name.encode(), encode_value(value)]
    return fields


def encode_value(value: Value) -> bytes | None:
    """A value with its kind before it."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | bytes | int | float):
        raise TypeError(f"a value is text, bytes, a number or None, not {value!r}")
    if isinstance(value, bytes):
        text, kind = value, b"s"
    else:
        kind = {str: b"s", int: b"i", float: b"f"}[type(value)]
        text = str(value).encode("utf-8", "replace")
    if len(text) > SQL_VALUE_BYTES:
        raise ValueError(f"a value of a query has at most {SQL_VALUE_BYTES} bytes")
    return kind + text


def decode_query(fields: Fields) -> tuple[float, str, dict[str, Value]]:
    """Seconds, statement and values of a question; ValueError when it is none."""
    if len(fields) < 2 or len(fields) % 2 or fields[0] is None or fields[1] is None:
        raise ValueError("a query is cut short")
    names, values = fields[2::2], fields[3::2]
    pairs = zip(names, values, strict=True)
    found = {(name or b"").decode(): decode_value(value) for name, value in pairs}
    return int(fields[0]) / 1_000, fields[1].decode(), found


def decode_value(field_: bytes | None) -> Value:
    """The opposite of `encode_value`; what is no UTF-8 is shown so."""
    if field_ is None:
        return None
    text = field_[1:].decode("utf-8", "replace")
    if field_[:1] == b"i":
        return int(text)
    return float(text) if field_[:1] == b"f" else text
