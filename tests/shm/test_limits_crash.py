"""Processes are killed before each store into pipes and sources; the others go on."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from shm_family import killed_at

from proxy.limits.algorithms import FEEDBACK, RED, SBT, TAILDROP
from proxy.limits.source import source_of
from proxy.shm import pipe_view
from proxy.shm.pipe_layout import Timing
from proxy.shm.pipes import ADMITTED, NO_ROOM, REFUSED, Pipes
from proxy.shm.sources import BANNED, GO_ON, Sources

TIMING = Timing(timer_interval=1_000, window_size=1_000, slot_period=100, limit_per_interval=True)
NOW = 1_000_000


def make(capacity: int = 4) -> Pipes:
    return Pipes.create(None, capacity, TIMING, seed=7)


def passing(pipes: Pipes, name: bytes, limit: int, algorithm: int, now: int) -> int:
    return sum(pipes.check(name, limit, algorithm, now) == ADMITTED for _ in range(limit + 5))


def is_sound(pipes: Pipes) -> bool:
    """Names, entries and the count agree once somebody has had the lock."""
    names = [pipe.name for pipe in pipe_view.listing(pipes, NOW)]
    assert len(set(names)) == len(names) == pipes.count
    assert all(pipes.find(name) for name in names)
    return True


@pytest.mark.parametrize("algorithm", [TAILDROP, RED, SBT, FEEDBACK])
@pytest.mark.parametrize("taken", [0, 4])
def test_a_death_in_a_check_costs_one_count_at_most(algorithm: int, taken: int) -> None:
    store, survived = 0, False
    while not survived:
        store += 1
        pipes = make()
        pipe_view.sample(pipes, 0.5, 0, NOW)
        for _ in range(taken):
            pipes.check(b"p", 5, algorithm, NOW)
        survived = not killed_at(store, pipes.check, b"p", 5, algorithm, NOW + 1)
        left = passing(pipes, b"p", 5, algorithm, NOW + 1)
        if algorithm == FEEDBACK:
            assert left == 10
        else:
            assert 5 - taken - 1 <= left <= 5 - taken
        assert passing(pipes, b"p", 5, algorithm, NOW + 9_000) in (5, 10)
        assert pipes.check(b"other", 5, algorithm, NOW + 9_000) == ADMITTED
        assert is_sound(pipes)
    assert store > (10 if taken == 0 else 1)


def test_a_death_while_making_a_pipe_in_the_place_of_another_leaves_a_sound_table() -> None:
    store, survived = 0, False
    while not survived:
        store += 1
        pipes = make()
        for number in range(4):
            pipes.check(b"p%d" % number, 5, SBT, NOW)
        later = NOW + 9_000
        survived = not killed_at(store, pipes.check, b"new", 5, SBT, later)
        fresh = [b"a", b"b", b"c", b"d", b"new"]
        verdicts = [pipes.check(name, 5, SBT, later) for name in fresh]
        assert verdicts.count(ADMITTED) == 4
        assert verdicts.count(NO_ROOM) == 1
        assert is_sound(pipes)
    assert store > 15


def test_a_death_while_pipes_expire_and_another_in_the_repair() -> None:
    for first in range(1, 40, 3):
        second, survived = 0, False
        while not survived:
            second += 3
            pipes = make()
            for number in range(4):
                pipes.check(b"p%d" % number, 5, SBT, NOW)
            killed_at(first, pipes.expire, NOW + 4_000_000)
            survived = not killed_at(second, pipes.check, b"new", 5, SBT, NOW + 4_000_000)
            pipes.expire(NOW + 8_000_000)
            assert pipes.check(b"last", 5, SBT, NOW + 8_000_000) == ADMITTED
            assert is_sound(pipes)
            assert pipes.count == 1


def test_a_death_while_another_nodes_count_is_taken_in_leaves_one_that_was_told() -> None:
    store, survived = 0, False
    while not survived:
        store += 1
        pipes = make()
        pipes.make(b"p", 10, SBT, NOW)
        told: list[Callable[[], object]] = [
            lambda pipes=pipes: pipe_view.accept(pipes, b"p", 2, 1, 3, NOW),
            lambda pipes=pipes: pipe_view.accept(pipes, b"p", 2, 2, 7, NOW),
        ]
        told[0]()
        survived = not killed_at(store, told[1])
        dump = pipe_view.dump(pipes, b"p", NOW)
        assert dump is not None
        assert dump.remote.get(2, 0) in (0, 3, 7)
        told[1]()
        assert passing(pipes, b"p", 10, SBT, NOW) == 3
    assert store > 3


def test_a_death_in_the_flood_guard_bans_nobody_else() -> None:
    flooder, other = source_of("192.0.2.1"), source_of("192.0.2.2")
    store, survived = 0, False
    while not survived:
        store += 1
        sources = Sources.create(None, 16, unit=1_000, density=3, seed=7)

        def flood(sources: Sources = sources) -> None:
            for _ in range(4):
                sources.note(flooder, NOW)
            sources.ban(flooder, NOW + 5_000)

        survived = not killed_at(store, flood)
        assert sources.note(other, NOW) == GO_ON
        assert sources.note(flooder, NOW + 5_000) == GO_ON
        flood()
        assert sources.note(flooder, NOW) == BANNED
        assert sources.note(other, NOW) == GO_ON
    assert store > 5


def test_a_pipe_that_refuses_is_refused_to_a_survivor_too() -> None:
    pipes = make()
    assert passing(pipes, b"p", 3, SBT, NOW) == 3
    killed_at(1, pipes.check, b"p", 3, SBT, NOW)
    assert pipes.check(b"p", 3, SBT, NOW) == REFUSED
