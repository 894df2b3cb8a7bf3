"""What the storage process answers: one row for each kind of question that is a query."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.sql.expression import Executable

from proxy.storage import schema
from proxy.storage.kinds import Fields, Kind, Part, Question, Status, encode_part
from workers.child import Child
from workers.errands import Deliveries, Errand
from workers.storage.database import BadStatement, Unavailable, UnknownLetters
from workers.storage.stores import Stores

ROWS_OF_A_PART: Final = 200
USER_FIELDS: Final = 2  # name and domain

_subscriber, _uri, _aliases = schema.subscriber.c, schema.uri.c, schema.dbaliases.c
_domain, _address = schema.domain.c, schema.address.c


def _of_user(username: Any, domain: Any, fields: Fields) -> list[Any]:
    """Conditions for a user; a domain that is NULL stands for any."""
    conditions = [username == _text(fields[0])]
    if fields[1] is not None:
        conditions.append(domain == _text(fields[1]))
    return conditions


def _text(field: bytes | None) -> str:
    return (field or b"").decode("utf-8", "replace")


_CREDENTIALS: Final = select(
    _subscriber.username,
    _subscriber.domain,
    _subscriber.password,
    _subscriber.ha1,
    _subscriber.ha1_sha256,
    _subscriber.ha1_sha512t256,
)


def _subscribers(fields: Fields) -> Executable:
    return _CREDENTIALS.where(*_of_user(_subscriber.username, _subscriber.domain, fields))


def _subscribers_among(names: Sequence[str], domain: bytes | None) -> Executable:
    """Several users of one domain; a domain that is NULL stands for any."""
    chosen = _CREDENTIALS.where(_subscriber.username.in_(names))
    return chosen if domain is None else chosen.where(_subscriber.domain == _text(domain))


def _uris(fields: Fields) -> Executable:
    return select(_uri.username, _uri.uri_user).where(*_of_user(_uri.username, _uri.domain, fields))


def _alias_rows(fields: Fields) -> Executable:
    chosen = select(
        _aliases.alias_username, _aliases.alias_domain, _aliases.username, _aliases.domain
    )
    if not fields:
        return chosen
    return chosen.where(*_of_user(_aliases.alias_username, _aliases.alias_domain, fields))


def _domains(_fields: Fields) -> Executable:
    return select(_domain.domain, _domain.attrs, _domain.accept_subdomain)


def _addresses(_fields: Fields) -> Executable:
    return select(
        _address.grp,
        _address.ip,
        _address.mask,
        _address.port,
        _address.proto,
        _address.pattern,
        _address.context_info,
    )


def _nodes(_fields: Fields) -> Executable:
    return select(*schema.clusterer.c)


QUERIES: Final[dict[int, tuple[int, Callable[[Fields], Executable]]]] = {
    # kind: how many fields it needs at least, its query
    Kind.SUBSCRIBER: (USER_FIELDS, _subscribers),
    Kind.URIS: (USER_FIELDS, _uris),
    Kind.ALIASES: (0, _alias_rows),
    Kind.DOMAINS: (0, _domains),
    Kind.ADDRESSES: (0, _addresses),
    Kind.NODES: (0, _nodes),
}


class Answerer:
    """Asks the databases what workers want to know, and sends them what it is told."""

    def __init__(self, child: Child, stores: Stores) -> None:
        self.child = child
        self.stores = stores
        self.deliveries = Deliveries(child)

    def answer(self, question: Question) -> None:
        """Answer one question that is a query."""
        needs, query = QUERIES[question.kind]
        if 0 < len(question.fields) < max(needs, 2) or len(question.fields) < needs:
            self.send(question, Status.FAILED, [])
            return
        try:
            rows = self.stores.fetch(query(question.fields))
        except Unavailable:
            self.send(question, Status.UNAVAILABLE, [])
        except UnknownLetters:  # anybody can ask for a mushroom: there is none
            self.send(question, Status.ANSWERED, [])
        except BadStatement as error:
            self.child.log.error("query refused", kind=Kind(question.kind).name, error=error)
            self.send(question, Status.FAILED, [])
        else:
            self.send(question, Status.ANSWERED, [[field_of(each) for each in row] for row in rows])

    def answer_together(self, questions: Sequence[Question]) -> None:
        """Answer questions for users by one query for each domain: telephones come in crowds."""
        by_domain: dict[bytes | None, list[Question]] = defaultdict(list)
        for question in questions:
            by_domain[question.fields[1]].append(question)
        for domain, some in by_domain.items():
            if len(some) == 1 or not self._answer_domain(domain, some):
                for question in some:
                    self.answer(question)

    def _answer_domain(self, domain: bytes | None, questions: list[Question]) -> bool:
        """Each user's rows to who asked for it; False if it has to be done one by one."""
        names = sorted({_text(question.fields[0]) for question in questions})
        try:
            rows = self.stores.fetch(_subscribers_among(names, domain))
        except (BadStatement, Unavailable):
            return False
        found: dict[bytes | None, list[Fields]] = defaultdict(list)
        for row in rows:
            fields = [field_of(each) for each in row]
            found[fields[0]].append(fields)
        for question in questions:  # a name in other letters is another user, see Question.encode
            self.send(question, Status.ANSWERED, found.get(question.fields[0], []))
        return True

    def send(self, question: Question, status: int, rows: list[Fields]) -> None:
        """Send an answer, in parts when it is long."""
        for part in parts(question.number, status, rows):
            self.deliveries.send(question.asker, Errand.ANSWER, part)


def parts(number: int, status: int, rows: list[Fields]) -> Iterator[bytes]:
    """The messages of an answer."""
    for start in range(0, max(len(rows), 1), ROWS_OF_A_PART):
        some = rows[start : start + ROWS_OF_A_PART]
        yield encode_part(Part(number, status, start + ROWS_OF_A_PART < len(rows), some))


def field_of(value: Any) -> bytes | None:
    """A column as a field: text as UTF-8, numbers in decimal."""
    if value is None or isinstance(value, bytes):
        return value
    return str(value).encode("utf-8", "replace")
