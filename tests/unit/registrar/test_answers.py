"""What the database has answered, and for how long it is believed."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.registrar import subscriber
from proxy.registrar.answers import ABSENT, FOUND, UNKNOWN, Answers
from proxy.registrar.questions import AliasQuestion, SubscriberQuestion, UrisQuestion
from proxy.shm.answer_table import AnswerTable
from proxy.sip.digest import NOBODY, ha1s_of

NOW = 1_700_000_000
KEY = b"sexample.com\0alice"


@pytest.fixture
def answers(tmp_path: Path) -> Answers:
    table = AnswerTable.create(str(tmp_path / "answers.table"), 64)
    return Answers(table, ttl=100, negative_ttl=10, stale_seconds=1000)


def test_an_answer_is_believed_for_its_time(answers: Answers) -> None:
    assert answers.look(KEY).state == UNKNOWN
    assert answers.keep(KEY, FOUND, b"body", NOW)
    found = answers.look(KEY)
    assert (found.state, found.body, found.fetched) == (FOUND, b"body", NOW)
    assert answers.is_fresh(found, NOW + 99)
    assert not answers.is_fresh(found, NOW + 100)
    assert answers.is_tolerable(found, NOW + 999)
    assert not answers.is_tolerable(found, NOW + 1000)
    assert answers.table.expires_at(KEY) == NOW + 1000


def test_a_negative_answer_is_believed_for_less(answers: Answers) -> None:
    assert answers.keep(KEY, ABSENT, b"", NOW)
    found = answers.look(KEY)
    assert answers.is_fresh(found, NOW + 9)
    assert not answers.is_fresh(found, NOW + 10)
    assert not answers.is_tolerable(found, NOW)
    assert answers.table.units == 1
    assert answers.keep(KEY, FOUND, b"body", NOW)
    assert answers.table.units == 0


def test_of_many_who_want_to_ask_one_does(answers: Answers) -> None:
    other = Answers(answers.table, ttl=100, negative_ttl=10, stale_seconds=1000)
    mine, theirs = answers.look(KEY), other.look(KEY)
    assert answers.may_ask(KEY, mine, NOW)
    assert not other.may_ask(KEY, theirs, NOW)
    assert not other.may_ask(KEY, other.look(KEY), NOW + 2)
    assert other.may_ask(KEY, other.look(KEY), NOW + 3)  # the first may have died


def test_an_answer_is_asked_for_again_before_it_runs_out(answers: Answers) -> None:
    answers.keep(KEY, FOUND, b"body", NOW)
    assert not answers.is_ageing(answers.look(KEY), NOW + 74)
    found = answers.look(KEY)
    assert answers.is_ageing(found, NOW + 75)
    assert answers.may_ask(KEY, found, NOW + 75)
    found = answers.look(KEY)
    assert (found.state, found.body, found.fetched) == (FOUND, b"body", NOW)
    assert not answers.is_ageing(found, NOW + 76)
    assert answers.is_ageing(found, NOW + 78)


def test_invented_names_do_not_fill_the_table(answers: Answers) -> None:
    for number in range(64):
        answers.keep(b"s\0%d" % number, ABSENT, b"", NOW)
    assert answers.table.count == 16
    assert answers.not_kept == 48
    assert answers.may_ask(b"s\0another", answers.look(b"s\0another"), NOW)
    assert answers.table.count == 16
    for number in range(48):
        assert answers.keep(b"s\0known %d" % number, FOUND, b"", NOW)
    assert not answers.keep(b"s\0one more", FOUND, b"", NOW)
    assert answers.table.count == 64


def test_forgetting(answers: Answers) -> None:
    answers.keep(KEY, FOUND, b"body", NOW)
    assert answers.forget(KEY)
    assert not answers.forget(KEY)
    assert answers.look(KEY).state == UNKNOWN


def test_a_damaged_record_is_as_good_as_none(answers: Answers) -> None:
    for payload in (b"", b"\1short", b"\0" * 20, b"\4" * 20):
        stamp = answers.table.snapshot(KEY)[1]
        answers.table.commit(KEY, stamp, payload, NOW, 0)
        assert answers.look(KEY).state == UNKNOWN


def test_a_subscriber_is_what_stands_for_the_password() -> None:
    ha1s = ha1s_of(b"alice", b"example.com", b"secret")
    question = SubscriberQuestion(b"alice", b"example.com", use_domain=True, calculate_ha1=True)
    assert question.fields() == [b"alice", b"example.com"]
    record = question.encode([[b"alice", b"example.com", b"secret", None, None, None]])
    assert record is not None
    assert b"secret" not in record
    assert [subscriber.ha1_in(record, kind) for kind in range(3)] == list(ha1s)
    columns = SubscriberQuestion(b"alice", b"example.com", use_domain=False, calculate_ha1=False)
    assert columns.fields() == [b"alice", None]
    record = columns.encode([[b"alice", b"", b"secret", ha1s[0].upper(), b"", b"zz" * 32]])
    assert record is not None
    assert [subscriber.has_ha1(record, kind) for kind in range(3)] == [True, False, False]
    assert [subscriber.ha1_in(record, kind) for kind in range(3)] == [ha1s[0], *NOBODY[1:]]
    empty = question.encode([[b"alice", b"", b"", *ha1s]])
    assert empty is not None
    assert not any(subscriber.has_ha1(empty, kind) for kind in range(3))


def test_a_user_is_who_is_spelled_so() -> None:
    question = SubscriberQuestion(b"alice", b"example.com", use_domain=True, calculate_ha1=True)
    assert question.encode([]) is None
    assert question.encode([[b"Alice", b"example.com", b"secret", None, None, None]]) is None
    assert subscriber.ha1_in(b"nonsense", 0) == NOBODY[0]


def test_aliases_and_uris() -> None:
    alias = AliasQuestion(b"sales", b"example.com")
    assert alias.encode([[b"sales", b"example.com", b"alice", b"Example.com"]]) == (
        b"alice\0example.com"
    )
    assert alias.encode([[b"sales", b"example.com", b"", None], [b"x", b"", b"a", b"b"]]) is None
    uris = UrisQuestion(b"alice", b"example.com")
    rows = [[b"alice", b"a"], [b"alice", None], [b"alice", b"b"], [b"ALICE", b"c"]]
    assert uris.encode(rows) == b"a\0b"
    assert uris.encode([]) is None
    assert len({alias.key, uris.key, KEY}) == 3
