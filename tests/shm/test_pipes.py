"""Pipes: each algorithm against a model in plain Python, and the table they are in."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.errors import ShmError
from proxy.limits import bounds
from proxy.limits.algorithms import FEEDBACK, NETWORK, RED, SBT, TAILDROP, number_of
from proxy.limits.feedback import Gains
from proxy.shm import pipe_layout, pipe_view
from proxy.shm.pipe_layout import Timing
from proxy.shm.pipes import ADMITTED, NO_ROOM, REFUSED, Pipes

TIMING = Timing(timer_interval=1_000, window_size=1_000, slot_period=100, limit_per_interval=True)
START = 1_000_000
STEPS = st.lists(st.integers(0, 400), min_size=1, max_size=150)  # ms between two checks


def make(capacity: int = 8, timing: Timing = TIMING) -> Pipes:
    return Pipes.create(None, capacity, timing, seed=7)


def times(steps: list[int]) -> list[int]:
    now, moments = START, []
    for step in steps:
        now += step
        moments.append(now)
    return moments


@given(STEPS, st.integers(0, 12))
def test_sbt_is_a_window_of_slots(steps: list[int], limit: int) -> None:
    pipes = make()
    slots: Counter[int] = Counter()
    for now in times(steps):
        slot = now // 100
        allowed = sum(slots[each] for each in range(slot - 9, slot + 1)) < limit
        assert pipes.check(b"p", limit, SBT, now) == (ADMITTED if allowed else REFUSED)
        slots[slot] += allowed


@given(STEPS, st.integers(0, 12))
def test_taildrop_slides_from_one_interval_to_the_next(steps: list[int], limit: int) -> None:
    pipes = make()
    counts: Counter[int] = Counter()
    for now in times(steps):
        interval, passed = divmod(now, 1_000)
        left = -(-counts[interval - 1] * (1_000 - passed) // 1_000)  # rounded up
        allowed = counts[interval] + max(left - 1, 0) < limit
        assert pipes.check(b"p", limit, TAILDROP, now) == (ADMITTED if allowed else REFUSED)
        counts[interval] += allowed


@given(STEPS, st.integers(1, 12), st.sampled_from([TAILDROP, RED]))
def test_no_burst_at_the_edge_of_an_interval(steps: list[int], limit: int, algorithm: int) -> None:
    """In any stretch: the limit, what time has given since, and one."""
    pipes = make()
    admitted = [now for now in times(steps) if pipes.check(b"p", limit, algorithm, now) == ADMITTED]
    for first, begin in enumerate(admitted):
        for last in range(first, len(admitted)):
            stretch = (admitted[last] - begin) / 1_000
            assert last - first + 1 <= limit * (1 + stretch) + 1


@pytest.mark.parametrize("algorithm", [TAILDROP, RED, SBT])
@pytest.mark.parametrize("times_the_limit", [1, 2, 10])
def test_what_is_refused_does_not_lock_a_pipe_shut(algorithm: int, times_the_limit: int) -> None:
    """Offered evenly at n times the limit for 60 intervals: the limit passes, every interval."""
    pipes = make()
    limit, per_interval = 50, Counter()
    for number in range(60 * limit * times_the_limit):
        now = START + number * 1_000 // (limit * times_the_limit)
        if pipes.check(b"p", limit, algorithm, now) == ADMITTED:
            per_interval[now // 1_000] += 1
    assert max(per_interval.values()) <= limit
    settled = [per_interval[START // 1_000 + interval] for interval in range(2, 60)]
    assert min(settled) >= limit * 0.9
    if times_the_limit == 1 and algorithm != RED:
        assert set(settled) == {limit}


def test_red_spreads_what_it_lets_pass() -> None:
    """At four times the limit every fourth passes or so, never the first quarter of an interval."""
    pipes = make()
    admitted = []
    for number in range(8_000):
        now = START + number * 5 // 2
        if pipes.check(b"p", 100, RED, now) == ADMITTED and number >= 1_000:
            admitted.append(number)
    gaps = [late - early for early, late in pairwise(admitted)]
    assert max(gaps) <= 10
    assert min(gaps) >= 2


def test_a_limit_is_per_second_unless_told_otherwise() -> None:
    pipes = make(timing=Timing())
    admitted = sum(pipes.check(b"p", 3, TAILDROP, START) for _ in range(100))
    assert admitted == 30
    assert sum(pipes.check(b"q", 3, SBT, START) for _ in range(100)) == 3


@pytest.mark.parametrize("algorithm", [TAILDROP, RED, SBT])
def test_a_limit_of_nothing_lets_nothing_pass(algorithm: int) -> None:
    pipes = make()
    assert {pipes.check(b"p", 0, algorithm, START + n * 100) for n in range(50)} == {REFUSED}


def test_network_looks_at_what_waits_in_the_queues() -> None:
    pipes = make()
    assert pipes.check(b"p", 0, NETWORK, START) == ADMITTED  # nobody has looked yet
    pipe_view.sample(pipes, 0.0, 4_096, START)
    assert pipes.check(b"p", 4_096, NETWORK, START) == ADMITTED
    assert pipes.check(b"p", 4_095, NETWORK, START) == REFUSED
    assert pipes.check(b"p", 4_095, NETWORK, START + 5_000) == ADMITTED  # that was long ago


def test_feedback_refuses_the_share_it_is_told() -> None:
    pipes = make()
    pipe_view.sample(pipes, 0.9, 0, START)
    pipes.check(b"p", 50, FEEDBACK, START)
    pipe_view.set_drop_rate(pipes, b"p", 2_500)
    passed = sum(pipes.check(b"p", 50, FEEDBACK, START + n // 2) for n in range(1_000))
    assert 740 <= passed <= 760
    assert pipes.check(b"p", 50, FEEDBACK, START + 9_000) == ADMITTED
    pipe_view.set_drop_rate(pipes, b"unknown", 2_500)
    assert pipes.count == 1


def test_limit_and_algorithm_may_change_between_two_checks() -> None:
    pipes = make()
    assert [pipes.check(b"p", 2, SBT, START) for _ in range(3)] == [ADMITTED, ADMITTED, REFUSED]
    assert pipes.check(b"p", 3, SBT, START) == ADMITTED
    assert pipes.check(b"p", 3, TAILDROP, START) == ADMITTED
    assert pipe_view.listing(pipes, START) == [(b"p", TAILDROP, 3, 1, 0, False)]


# -- the table ------------------------------------------------------------------------------------


def test_a_full_table_refuses_new_pipes_and_keeps_those_in_use() -> None:
    pipes = make(capacity=8)
    for number in range(8):
        assert pipes.check(b"p%d" % number, 1, SBT, START) == ADMITTED
    assert pipes.check(b"new", 1, SBT, START + 100) == NO_ROOM
    assert pipes.check(b"p3", 1, SBT, START + 100) == REFUSED
    assert pipes.count == 8


def test_a_pipe_whose_counts_are_past_makes_room_and_nothing_is_lost_by_it() -> None:
    pipes = make(capacity=8)
    assert pipe_view.declare(pipes, b"declared", 5, SBT, 0)
    for number in range(7):
        pipes.check(b"p%d" % number, 1, SBT, START)
    later = START + 4_000
    pipes.check(b"p3", 1, SBT, later)
    for number in range(6):
        assert pipes.check(b"new%d" % number, 1, SBT, later) == ADMITTED
    assert pipes.check(b"one more", 1, SBT, later) == NO_ROOM
    names = {pipe.name for pipe in pipe_view.listing(pipes, later)}
    assert {b"declared", b"p3"} < names
    assert len(names) == 8


def test_unused_pipes_go() -> None:
    pipes = make()
    pipe_view.declare(pipes, b"declared", 5, SBT, 0)
    for number in range(6):
        pipes.check(b"p%d" % number, 1, SBT, START)
    pipes.check(b"p0", 1, SBT, START + 3_000_000)
    assert pipes.expire(START + 3_600_000) == 0
    assert pipes.expire(START + 3_602_000) == 5
    assert [pipe.name for pipe in pipe_view.listing(pipes, START)] == [b"declared", b"p0"]
    assert pipes.check(b"p5", 1, SBT, START + 3_602_000) == ADMITTED


@settings(max_examples=60)
@given(st.lists(st.tuples(st.binary(max_size=90), st.integers(0, 9_000)), max_size=200))
def test_the_table_is_a_dict(steps: list[tuple[bytes, int]]) -> None:
    """Names of all kinds come and go; those that are in use are found again."""
    pipes = make(capacity=16)
    now, used = START, {}
    for name, wait in steps:
        now += wait
        verdict = pipes.check(name, 2**31 - 1, SBT, now)
        fresh = sum(now - at < 2_000 for at in used.values())
        if name in used and now - used[name] < 2_000:
            assert verdict == ADMITTED
        assert verdict == ADMITTED or fresh >= 16
        if verdict == ADMITTED:
            used[name] = now
        assert pipes.count == len(pipes.entries()) <= 16
        if wait > 8_000:
            pipes.expire(now + 4_000_000)
            used.clear()
            assert pipes.count == 0


def test_a_long_name_is_kept_as_its_beginning_and_a_hash() -> None:
    pipes = make()
    longest = b"n" * bounds.PIPE_NAME_BYTES
    for name in (longest, longest + b"a", longest + b"b"):
        assert pipes.check(name, 1, SBT, START) == ADMITTED
        assert pipes.check(name, 1, SBT, START) == REFUSED
    names = sorted(pipe.name for pipe in pipe_view.listing(pipes, START))
    assert names[0] == longest
    assert [len(name) for name in names] == [bounds.PIPE_NAME_BYTES] * 3


@pytest.mark.parametrize("algorithm", [SBT, TAILDROP, RED])
def test_counts_of_an_impossible_time_count_as_nothing(algorithm: int) -> None:
    """What a stray store leaves must not close a pipe."""
    pipes = make()
    pipes.check(b"p", 1, algorithm, START)
    entry = pipes.find(b"p")
    for at in range(entry + pipe_layout.OFFERED, entry + pipes.stride, 8):
        pipes.arena.put_u64(at, 0x7FFFFFFF_FFFFFFFF)
    assert pipes.check(b"p", 1, algorithm, START) == ADMITTED
    assert pipes.check(b"p", 1, algorithm, START) == REFUSED


def test_a_file_comes_back(tmp_path: Path) -> None:
    path = str(tmp_path / "limits.table")
    pipes = Pipes.create(path, 8, TIMING, seed=7)
    pipes.check(b"p", 1, SBT, START)
    pipes.arena.close()
    again = Pipes.attach(path)
    assert again.timing == TIMING
    assert again.check(b"p", 1, SBT, START) == REFUSED


def test_impossible_tables_are_refused() -> None:
    with pytest.raises(ShmError):
        make(capacity=0)
    with pytest.raises(ShmError):
        make(timing=Timing(window_size=1_000, slot_period=1))
    assert bounds.PIPE_SLOTS < 1_000


def test_reset() -> None:
    pipes = make()
    for algorithm in (SBT, TAILDROP):
        assert pipes.check(b"p", 1, algorithm, START) == ADMITTED
        assert pipes.check(b"p", 1, algorithm, START) == REFUSED
        assert pipe_view.reset(pipes, b"p")
        assert pipes.check(b"p", 1, algorithm, START) == ADMITTED
    assert not pipe_view.reset(pipes, b"unknown")


def test_gains_are_kept_signed_and_broken() -> None:
    pipes = make()
    pipe_view.set_gains(pipes, Gains(-25.5, 0.000001, 3.0))
    assert pipe_view.gains(pipes) == Gains(-25.5, 0.000001, 3.0)


def test_algorithms_have_names() -> None:
    assert number_of("history") == number_of("SBT") == SBT
    with pytest.raises(ValueError, match="no algorithm LEAKY"):
        number_of("LEAKY")


# -- other nodes ----------------------------------------------------------------------------------


def accept(pipes: Pipes, node: int, count: int, now: int, incarnation: int = 1) -> bool:
    pipes.make(b"p", 10, SBT, now)
    return pipe_view.accept(pipes, b"p", node, incarnation, count, now)


@pytest.mark.parametrize("algorithm", [SBT, TAILDROP, RED])
def test_what_other_nodes_admit_counts(algorithm: int) -> None:
    pipes = make()
    assert accept(pipes, 2, 4, START)
    assert accept(pipes, 3, 1, START)
    assert sum(pipes.check(b"p", 10, algorithm, START) for _ in range(20)) == 5
    assert accept(pipes, 2, 5, START)  # absolute: in the place of the 4
    assert pipes.check(b"p", 10, algorithm, START) == REFUSED
    dump = pipe_view.dump(pipes, b"p", START)
    assert dump is not None
    assert (dump.pipe.counter, dump.remote) == (5, {2: 5, 3: 1})


def test_a_silent_node_is_forgotten_after_ten_seconds() -> None:
    pipes = make()
    accept(pipes, 2, 10, START)
    assert pipes.check(b"p", 10, SBT, START + 10_000) == REFUSED
    assert pipes.check(b"p", 10, SBT, START + 10_100) == ADMITTED
    dump = pipe_view.dump(pipes, b"p", START + 10_100)
    assert dump is not None
    assert dump.remote == {}


def test_a_restarted_node_is_heard_and_its_past_is_not() -> None:
    pipes = make()
    assert accept(pipes, 2, 9, START, incarnation=5)
    assert accept(pipes, 2, 1, START, incarnation=6)
    assert not accept(pipes, 2, 9, START, incarnation=5)
    assert sum(pipes.check(b"p", 10, SBT, START) for _ in range(20)) == 9


def test_eight_nodes_and_no_more_until_one_is_silent() -> None:
    pipes = make()
    for node in range(2, 10):
        assert accept(pipes, node, 1, START + node * 100)
    assert not accept(pipes, 99, 1, START + 1_000)
    assert accept(pipes, 99, 1, START + 10_400)  # node 2 has been silent for too long
    dump = pipe_view.dump(pipes, b"p", START + 10_400)
    assert dump is not None
    assert set(dump.remote) == {4, 5, 6, 7, 8, 9, 99}


def test_own_counts_are_absolute_and_of_this_node_alone() -> None:
    pipes = make()
    accept(pipes, 2, 4, START)
    for _ in range(3):
        pipes.check(b"p", 10, SBT, START)
        pipes.check(b"t", 10, TAILDROP, START)
    assert sorted(pipe_view.own_counts(pipes, START)) == [(b"p", 3), (b"t", 3)]
    assert pipe_view.own_counts(pipes, START + 5_000) == []


def test_a_pipe_that_is_not_asked_is_not_looked_at() -> None:
    pipes = make()
    pipe_view.declare(pipes, b"quiet", 5, SBT, 0)
    pipes.check(b"busy", 5, SBT, START)
    assert pipes.busy(START) == [pipes.find(b"busy")]
    assert pipes.busy(START + 60_000) == []


def test_a_long_name_is_shortened_to_the_same_on_every_node() -> None:
    one, other = (Pipes.create(None, 8, TIMING, seed=seed) for seed in (1, 2))
    name = b"caller:" + b"x" * 200
    for pipes in (one, other):
        pipes.check(name, 5, SBT, START)
    assert pipe_view.own_counts(one, START) == pipe_view.own_counts(other, START)
    [(told, _)] = pipe_view.own_counts(one, START)
    assert pipe_view.accept(other, told, 2, 1, 4, START)
    assert other.check(name, 5, SBT, START) == REFUSED


def test_a_pipe_that_nobody_asked_for_here_is_not_made_for_another_node() -> None:
    pipes = make()
    assert not pipe_view.accept(pipes, b"theirs", 2, 1, 1, START)
    assert pipes.count == 0
