"""What nonces were used for: replays, eviction, and death between any two stores."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shm_family import killed_at

from proxy.errors import LockTimeout, ShmError
from proxy.shm.nonce_table import (
    ACCEPTED,
    EVICTING,
    FORGOTTEN,
    PLACES,
    REPEAT_SECONDS,
    REPLAYED,
    NonceTable,
)

NOW = 1_700_000_000
NOW_MS = NOW * 1000
LIFETIME_MS = 300_000


def fresh(nonces: int = 100) -> NonceTable:
    return NonceTable.create(None, nonces, LIFETIME_MS, NOW_MS - 1)


def test_an_nc_is_good_once() -> None:
    table = fresh()
    assert table.use(7, NOW_MS, 1, 11, NOW) == ACCEPTED
    assert table.use(7, NOW_MS, 1, 12, NOW) == REPLAYED
    assert table.use(7, NOW_MS, 2, 13, NOW) == ACCEPTED
    assert table.use(7, NOW_MS, 1, 11, NOW) == REPLAYED
    assert table.use(8, NOW_MS, 1, 11, NOW) == ACCEPTED
    assert table.count == 2


def test_the_same_request_again_is_accepted_for_a_while() -> None:
    table = fresh()
    assert table.use(7, NOW_MS, 1, 11, NOW) == ACCEPTED
    assert table.use(7, NOW_MS, 1, 11, NOW + REPEAT_SECONDS) == ACCEPTED
    assert table.use(7, NOW_MS, 1, 11, NOW + REPEAT_SECONDS + 1) == REPLAYED


def test_late_ones_are_accepted_within_the_window() -> None:
    table = fresh()
    assert table.use(7, NOW_MS, 100, 1, NOW) == ACCEPTED
    assert table.use(7, NOW_MS, 36, 1, NOW) == ACCEPTED  # 64 behind
    assert table.use(7, NOW_MS, 36, 1, NOW) == REPLAYED
    assert table.use(7, NOW_MS, 35, 1, NOW) == REPLAYED
    assert table.use(7, NOW_MS, 0xFFFFFFFF, 1, NOW) == ACCEPTED
    assert table.use(7, NOW_MS, 100, 1, NOW) == REPLAYED


@given(st.lists(st.integers(1, 200), max_size=60))
def test_against_a_set(counts: list[int]) -> None:
    table = fresh()
    seen: set[int] = set()
    for twin, nc in enumerate(counts, 1):
        known = nc in seen or nc < max(seen, default=0) - 64
        assert table.use(7, NOW_MS, nc, twin, NOW) == (REPLAYED if known else ACCEPTED)
        seen.add(nc)


def test_the_oldest_makes_room_and_is_not_forgotten_as_used() -> None:
    table = fresh(1)
    assert table.capacity == PLACES
    for number in range(PLACES):
        assert table.use(number + 1, NOW_MS + number, 1, 1, NOW) == ACCEPTED
    assert table.use(99, NOW_MS + 50, 1, 1, NOW) == EVICTING
    assert table.evicted == 1
    assert table.use(1, NOW_MS, 1, 2, NOW) == FORGOTTEN  # it could be a replay
    assert table.use(1, NOW_MS, 2, 2, NOW) == FORGOTTEN
    assert table.use(2, NOW_MS + 1, 1, 2, NOW) == REPLAYED  # still known
    assert table.use(98, NOW_MS, 1, 2, NOW) == FORGOTTEN  # as old as the one that went


def test_what_has_expired_makes_room_without_a_word() -> None:
    table = fresh(1)
    for number in range(PLACES):
        table.use(number + 1, NOW_MS, 1, 1, NOW)
    later = NOW + LIFETIME_MS // 1000 + 1
    assert table.use(99, later * 1000, 1, 1, later) == ACCEPTED
    assert table.evicted == 0


def test_older_than_the_table_counts_as_used() -> None:
    assert fresh().use(7, NOW_MS - 2, 1, 1, NOW) == FORGOTTEN


def test_a_restart_remembers(tmp_path: Path) -> None:
    path = str(tmp_path / "nonces.table")
    table = NonceTable.create(path, 100, LIFETIME_MS, NOW_MS)
    assert table.use(7, NOW_MS, 3, 1, NOW) == ACCEPTED
    table.close()
    again = NonceTable.attach(path)
    assert (again.lifetime_ms, again.born_ms) == (LIFETIME_MS, NOW_MS)
    assert again.use(7, NOW_MS, 3, 2, NOW) == REPLAYED
    uses = again.uses(7)
    assert uses is not None
    assert (uses.serial, uses.issued_ms, uses.nc, uses.window) == (7, NOW_MS, 3, 0)
    assert again.uses(8) is None
    again.close()
    Path(path).write_bytes(Path(path).read_bytes()[:-512])
    with pytest.raises(ShmError, match="bytes instead"):
        NonceTable.attach(path)


def test_a_lock_that_is_held_is_not_waited_for_long() -> None:
    table = fresh(1)
    table.arena.lock(4096)
    try:
        with pytest.raises(LockTimeout):
            table.use(7, NOW_MS, 1, 1, NOW)
    finally:
        table.arena.unlock(4096)


# Before the death: what the nonce was used for. What is done when it comes.
STORIES: dict[str, tuple[list[int], int]] = {
    "first use": ([], 1),
    "next": ([1], 2),
    "far ahead": ([1, 2, 3], 500),
    "just a window ahead": ([1, 2, 3], 67),
    "late": ([1, 2, 9], 5),
}


@pytest.mark.parametrize("story", STORIES)
@pytest.mark.parametrize("crowded", [False, True])
def test_whoever_dies_leaves_nothing_that_can_be_used_twice(story: str, crowded: bool) -> None:
    before, last = STORIES[story]
    store = 0
    while True:
        store += 1
        table = fresh(1)
        for other in range(PLACES if crowded else 0):
            table.use(other + 100, NOW_MS + other, 1, 1, NOW)
        for nc in before:
            assert table.use(7, NOW_MS + 900, nc, nc, NOW) in (ACCEPTED, EVICTING)
        died = killed_at(store, table.use, 7, NOW_MS + 900, last, 77, NOW)
        for nc in before:
            assert table.use(7, NOW_MS + 900, nc, 1000 + nc, NOW) != ACCEPTED
        if crowded:  # who lost the place is not let in again
            assert table.use(100, NOW_MS, 1, 2, NOW) in (REPLAYED, FORGOTTEN)
        once_more = table.use(7, NOW_MS + 900, last, 78, NOW)
        again = table.use(7, NOW_MS + 900, last, 79, NOW)
        assert once_more in (ACCEPTED, EVICTING, REPLAYED)
        assert again == REPLAYED
        if not died:
            assert once_more == REPLAYED
            break
    assert store > 3
