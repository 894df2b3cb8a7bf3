"""The flood guard's table: who is counted, who is over, who is forgotten."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import ShmError
from proxy.limits.source import source_of
from proxy.shm.sources import BANNED, DISPLACED, GO_ON, OVER, Sources

START = 1_000_000


def make(capacity: int = 64, density: int = 5) -> Sources:
    return Sources.create(None, capacity, unit=1_000, density=density, seed=7)


def colliding(sources: Sources, count: int) -> list[int]:
    """Sources of one set: those that a full set displaces one another from."""
    groups: dict[int, list[int]] = {}
    for number in range(1 << 32, (1 << 32) + 100_000):
        groups.setdefault(place(sources, number), []).append(number)
        if len(groups[place(sources, number)]) == count:
            return groups[place(sources, number)]
    raise AssertionError("no collisions")


def place(sources: Sources, source: int) -> int:
    mixed = ((source ^ sources.seed) * 0x9E3779B97F4A7C15) & (2**64 - 1)
    return (mixed >> 32) & (sources.sets - 1)


@given(
    st.lists(
        st.tuples(st.sampled_from(["192.0.2.1", "192.0.2.2", "2001:db8::1"]), st.integers(0, 300))
    )
)
def test_one_more_than_the_density_is_over_once(steps: list[tuple[str, int]]) -> None:
    sources, counts, now = make(), Counter(), START
    for address, wait in steps:
        now += wait
        source = source_of(address)
        counts[source, now // 1_000] += 1
        over = counts[source, now // 1_000] == 6
        assert sources.note(source, now) == (OVER if over else GO_ON)


def test_a_ban_has_an_end_and_the_count_begins_anew() -> None:
    sources = make()
    source = source_of("192.0.2.1")
    assert [sources.note(source, START) for _ in range(6)] == [GO_ON] * 5 + [OVER]
    assert sources.ban(source, START + 2_500)
    assert sources.banned(START) == [(source, 2_500)]
    assert {sources.note(source, START + wait) for wait in range(0, 2_500, 7)} == {BANNED}
    assert sources.note(source_of("192.0.2.2"), START) == GO_ON
    assert [sources.note(source, START + 2_500) for _ in range(6)] == [GO_ON] * 5 + [OVER]
    assert sources.banned(START + 2_500) == []


def test_a_ban_can_be_lifted() -> None:
    sources = make()
    source = source_of("2001:db8::1")
    for _ in range(6):
        sources.note(source, START)
    assert not sources.lift(source, START)
    sources.ban(source, START + 9_000)
    assert sources.lift(source, START)
    assert [sources.note(source, START) for _ in range(6)] == [GO_ON] * 5 + [OVER]
    assert not sources.ban(source_of("192.0.2.99"), START + 1)  # never seen
    assert not sources.lift(source_of("192.0.2.99"), START)


def test_a_full_set_forgets_whoever_is_worth_least() -> None:
    sources = make()
    banned, busy, quiet, old, *others = colliding(sources, 12)
    sources.note(old, START - 1_000)
    sources.note(quiet, START)
    for _ in range(3):
        sources.note(busy, START)
    sources.note(banned, START)
    sources.ban(banned, START + 60_000)
    # somebody of an earlier unit first, at no loss; then who sent least, again and again
    assert sources.note(others[0], START) == GO_ON
    assert [sources.note(each, START) for each in others[1:]] == [DISPLACED] * 7
    assert sources.note(banned, START) == BANNED
    assert sources.note(busy, START) == GO_ON
    assert sources.note(busy, START) == GO_ON
    assert sources.note(busy, START) == OVER


def test_of_four_banned_sources_the_one_that_is_free_soonest_goes() -> None:
    sources = make()
    *four, fifth, sixth = colliding(sources, 6)
    for number, source in enumerate(four):
        sources.note(source, START)
        sources.ban(source, START + 10_000 - number)
    assert sources.note(fifth, START) == DISPLACED
    assert {source for source, _ in sources.banned(START)} == set(four[:3])
    assert sources.note(fifth, START) == GO_ON  # it has not inherited the ban
    assert sources.note(sixth, START) == DISPLACED
    assert sources.note(four[3], START) == DISPLACED


def test_a_flood_from_forged_addresses_does_not_hide_a_real_one() -> None:
    """A hundred thousand addresses, one datagram each; the flooder among them is found out."""
    sources = make(capacity=256, density=50)
    flooder = source_of("192.0.2.1")
    verdicts = Counter()
    for number in range(100_000):
        sources.note(source_of("10.0.0.0") + number, START)
        if number % 100 == 0:
            verdicts[sources.note(flooder, START)] += 1
    assert verdicts[OVER] == 1


def test_impossible_tables_are_refused() -> None:
    for wrong in ({"unit": 0, "density": 1}, {"unit": 1, "density": 0}):
        with pytest.raises(ShmError):
            Sources.create(None, 64, **wrong)
    with pytest.raises(ShmError):
        Sources.create(None, 0, unit=1, density=1)
