"""Two workers of a node and one database: each question is asked once, and all hear the answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.limits.bounds import FETCH_SECONDS
from proxy.routing.nonce import Nonces
from proxy.routing.pending import LATE
from tests.unit.routing.authenticating import LIFETIME_MS, GuardedWorld, Phone
from workers.rehearsal import SECRET


@pytest.fixture
def workers(tmp_path: Path) -> tuple[GuardedWorld, GuardedWorld]:
    """Two worlds that share what workers share, and tell each other what they hear."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    first, second = GuardedWorld(tmp_path / "a"), GuardedWorld(tmp_path / "b")
    second.table, second.used, second.database = first.table, first.used, first.database
    second.nonces = Nonces(SECRET, 2, lifetime_ms=LIFETIME_MS)
    second.start_worker()
    return first, second


def waiting(world: GuardedWorld, call: bytes, password: bytes = b"wonderland") -> Phone:
    """A phone of alice whose REGISTER has made `world` wait for the database."""
    alice = Phone(world, b"alice", password)
    alice.call_id = call
    given = alice.asked()[0]
    assert alice.send(headers=alice.answering(given)) == []
    return alice


def pass_on(source: GuardedWorld, target: GuardedWorld) -> None:
    for news in source.told:
        target.auth.inquiries.told(news)


def statuses(world: GuardedWorld) -> list[int]:
    return [one.message.status for one in world.collect()]


def test_one_question_for_both(workers: tuple[GuardedWorld, GuardedWorld]) -> None:
    first, second = workers
    first.database.silent = True
    waiting(first, b"one")
    waiting(second, b"two")
    assert len(first.database.asked) == 1
    first.database.answer()
    pass_on(first, second)
    assert (statuses(first), statuses(second)) == ([200], [200])


def test_whoever_has_waited_in_vain_tells_the_other(
    workers: tuple[GuardedWorld, GuardedWorld],
) -> None:
    first, second = workers
    first.database.silent = True
    waiting(first, b"one")
    assert [one.message.status for one in first.wait(FETCH_SECONDS)] == [503]
    assert first.auth.inquiries.away
    assert not second.auth.inquiries.away
    pass_on(first, second)
    assert second.auth.inquiries.away


def test_a_negative_answer_and_a_failure_are_passed_on(
    workers: tuple[GuardedWorld, GuardedWorld],
) -> None:
    first, second = workers
    first.database.silent = True
    del first.database.users[b"alice"]
    waiting(first, b"one")
    waiting(second, b"two")
    first.database.answer()
    pass_on(first, second)
    assert (statuses(first), statuses(second)) == ([401], [401])
    for world in workers:
        world.wait(40)
    first.told.clear()
    first.database.away = True
    waiting(first, b"three")
    waiting(second, b"four")
    first.database.answer()
    pass_on(first, second)
    assert (statuses(first), statuses(second)) == ([503], [503])


def test_a_worker_that_dies_with_its_question_costs_the_other_a_503_and_no_more(
    workers: tuple[GuardedWorld, GuardedWorld],
) -> None:
    first, second = workers
    first.database.silent = True
    waiting(first, b"one")
    waiting(second, b"two")
    first.database.open.clear()  # with the first worker
    assert [one.message.status for one in second.wait(2.5)] == [503]
    second.wait(2)
    first.database.silent = False
    alice = Phone(second, b"alice", b"wonderland")
    alice.call_id = b"three"
    assert alice.register() == 200


def test_waiters_of_one_user_are_bounded(workers: tuple[GuardedWorld, GuardedWorld]) -> None:
    first, _ = workers
    first.database.silent = True
    for number in range(64):
        waiting(first, b"call-%d" % number)
    alice = Phone(first, b"alice", b"wonderland")
    alice.call_id = b"one-more"
    assert alice.send(headers=alice.answering(alice.asked()[0]))[0].status == 503
    first.database.answer()
    assert statuses(first) == [200] * 64


def test_a_refused_statement_is_the_trouble_of_its_user_alone(
    workers: tuple[GuardedWorld, GuardedWorld],
) -> None:
    first, second = workers
    first.database.refuses.add(b"bob")
    bob = Phone(first, b"bob", b"builder")
    assert bob.register() == 503
    pass_on(first, second)
    for world in workers:
        assert Phone(world, b"alice", b"wonderland").register() == 200
    assert not first.auth.inquiries.away
    assert not second.auth.inquiries.away


def test_while_the_database_hangs_nobody_known_waits_but_who_finds_it_out(
    workers: tuple[GuardedWorld, GuardedWorld],
) -> None:
    """After the time for which an answer is believed, and for as long as the outage lasts."""
    first, _ = workers
    names = (b"alice", b"bob")
    phones = [Phone(first, name, first.database.users[name]) for name in names]
    assert [phone.register() for phone in phones] == [200, 200]
    first.database.silent = True
    first.wait(700)
    alice, bob = phones
    given = {phone: phone.asked()[0] for phone in phones}
    assert alice.send(headers=alice.answering(given[alice])) == []
    assert [one.message.status for one in first.wait(2.1)] == [200]
    for nc in range(1, 120):
        first.wait(0.5)
        assert bob.send(headers=bob.answering(given[bob], nc=nc))[0].status == 200
    first.database.answer()
    assert not first.auth.inquiries.away


def test_one_lost_answer_is_no_outage(workers: tuple[GuardedWorld, GuardedWorld]) -> None:
    first, _ = workers
    first.database.silent = True
    waiting(first, b"one")
    first.database.open.clear()
    first.wait(1)
    first.database.silent = False
    bob = Phone(first, b"bob", b"builder")
    assert bob.register() == 200
    assert [one.message.status for one in first.wait(1.1)] == [503]
    assert not first.auth.inquiries.away


def test_a_database_that_is_slow_is_not_away_and_its_late_answers_count(
    workers: tuple[GuardedWorld, GuardedWorld],
) -> None:
    """Else telephones that come faster than it answers would have it asked for nothing."""
    first, second = workers
    assert Phone(first, b"bob", b"builder").register() == 200
    pass_on(first, second)
    first.told.clear()
    first.database.silent = True
    waiting(first, b"one")
    waiting(second, b"two")
    asked = first.database.open[0][2]
    asked.finish(LATE)
    pass_on(first, second)
    assert (statuses(first), statuses(second)) == ([503], [503])
    assert not first.auth.inquiries.away
    assert not second.auth.inquiries.away
    first.database.answer()
    for world in workers:
        alice = Phone(world, b"alice", b"wonderland")
        alice.call_id = b"again"
        assert alice.register() == 200
    assert len(first.database.asked) == 2, "bob, and alice once"


@pytest.mark.parametrize("exists", [True, False])
def test_the_lost_word_of_an_answer_costs_time_and_no_503(
    workers: tuple[GuardedWorld, GuardedWorld], exists: bool
) -> None:
    first, second = workers
    if not exists:
        del first.database.users[b"alice"]
    first.database.silent = True
    waiting(first, b"one")
    waiting(second, b"two")
    first.database.answer()
    assert [one.message.status for one in second.wait(2.1)] == [200 if exists else 401]
