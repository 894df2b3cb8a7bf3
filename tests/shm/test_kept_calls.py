"""The set of calls that a worker keeps: what is in it is found, whenever its writer dies."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shm_family import killed_at

from proxy.errors import ShmError
from proxy.shm.kept_calls import MOST, SLOTS, KeptCalls

CALLS = st.sampled_from([4, 7, 2**31, 2**32 - 1, *range(5_000, 5_010)])  # few enough to meet again


@given(st.lists(st.tuples(st.booleans(), CALLS), max_size=60))
def test_it_is_a_set(steps: list[tuple[bool, int]]) -> None:
    kept = KeptCalls.create()
    expected: set[int] = set()
    for add, call in steps:
        if add:
            assert kept.add(call)
            expected.add(call)
        else:
            kept.remove(call)
            expected.discard(call)
        assert kept.has(call) == add
    assert {call for call in range(5_000, 5_010) if kept.has(call)} == expected & set(
        range(5_000, 5_010)
    )


@pytest.mark.parametrize("call", [0, 1])
def test_what_stands_for_a_free_slot_or_a_removed_one_is_a_call_as_well(call: int) -> None:
    kept = KeptCalls.create()
    assert not kept.has(call)
    kept.add(call)
    assert kept.has(call)
    kept.remove(call)
    assert not kept.has(call)


def test_many_and_then_none() -> None:
    kept = KeptCalls.create()
    numbers = random.Random(7)
    calls = [numbers.getrandbits(32) for _ in range(100_000)]
    assert all(kept.add(call) for call in calls)
    assert all(kept.has(call) for call in calls)
    others = [numbers.getrandbits(32) for _ in range(10_000)]
    assert sum(kept.has(call) for call in others) <= 5
    for call in calls:
        kept.remove(call)
    assert not any(kept.has(call) for call in calls)
    kept.clear()
    assert (kept.used, kept.has(calls[0])) == (0, False)


def test_a_full_set_refuses_and_still_finds_an_end() -> None:
    kept = KeptCalls.create()
    added = sum(kept.add(call) for call in range(10, 10 + SLOTS))
    assert added == MOST
    assert kept.has(10)
    assert not kept.has(10 + SLOTS)
    assert kept.add(10), "what is there already needs no room"


def test_a_set_is_found_again_by_its_path_and_no_other_file_is(tmp_path: Path) -> None:
    path = str(tmp_path / "kept")
    made = KeptCalls.create(path)
    made.add(77)
    joined = KeptCalls.join(path)
    assert joined.has(77)
    made.add(78)
    assert joined.has(78)
    made.arena.put_u64(0, 5)
    with pytest.raises(ShmError):
        KeptCalls.join(path)


def test_a_death_at_any_store_leaves_each_call_kept_or_not() -> None:
    kept = KeptCalls.create()
    for call in range(100, 110):
        kept.add(call)
    store = 1
    while killed_at(store, lambda: (kept.add(200), kept.remove(105), kept.add(105))):
        assert all(kept.has(call) for call in range(100, 110) if call != 105)
        store += 1
    assert store > 1
    assert kept.has(200)
    assert kept.has(105)
