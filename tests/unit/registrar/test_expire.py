"""What ran out is taken away, what lives stays, and what cannot be read goes."""

from __future__ import annotations

from proxy.registrar.expire import alone, expire
from tests.unit.registrar.conftest import AOR, NOW, Registrar

BOTH = b"Contact: <sip:a@h1>;expires=100, <sip:b@h2>;expires=200"


def test_one_after_the_other(registrar: Registrar) -> None:
    registrar.register(BOTH)
    table = registrar.table
    assert table.due(NOW + 99, 0, 10)[0] == []
    assert expire(table, AOR, alone(1, NOW + 99)) == 0
    assert table.due(NOW + 100, 0, 10)[0] == [AOR]
    assert expire(table, AOR, alone(1, NOW + 100)) == 1
    assert registrar.contacts() == [b"sip:b@h2"]
    assert (table.units, table.expires_at(AOR)) == (1, NOW + 200)
    assert expire(table, AOR, alone(1, NOW + 200)) == 1
    assert (table.count, table.units) == (0, 0)
    assert expire(table, AOR, alone(1, NOW + 200)) == 0


def test_all_at_once(registrar: Registrar) -> None:
    registrar.register(BOTH)
    assert expire(registrar.table, AOR, alone(1, NOW + 5_000)) == 2
    assert registrar.table.count == 0


def test_a_refresh_in_the_last_moment_wins(registrar: Registrar) -> None:
    registrar.register(BOTH)
    registrar.table.overtake = lambda: registrar.register(BOTH, cseq=2, now=NOW + 99)
    registrar.table.times = 1
    assert expire(registrar.table, AOR, alone(1, NOW + 150), registrar.faults) == 0
    assert len(registrar.contacts()) == 2
    assert registrar.faults.conflicts == 1


def test_nobody_wins_for_ever(registrar: Registrar) -> None:
    registrar.register(BOTH)
    turns = iter(range(2, 100))
    registrar.table.overtake = lambda: registrar.register(BOTH, cseq=next(turns))
    registrar.table.times = 50
    assert expire(registrar.table, AOR, alone(1, NOW + 150)) == 0
    assert len(registrar.contacts()) == 2


def test_an_unreadable_record_is_removed(registrar: Registrar) -> None:
    registrar.table.commit(AOR, 0, b"garbage", NOW, 1)
    assert expire(registrar.table, AOR, alone(1, NOW), registrar.faults) == 0
    assert registrar.faults.corrupt == 1
    assert registrar.table.count == 0
