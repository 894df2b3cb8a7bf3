"""Members of profiles: one step each, exact under races, whole after a death at any store."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable
from contextlib import suppress

import pytest
from shm_family import family, killed_at, run, wait

from proxy.errors import LockTimeout, ShmError, TableFull
from proxy.shm.profile_table import ProfileTable

KEY = b"caller\0alice"
NOW = 1000


def did(number: int) -> bytes:
    return number.to_bytes(8, "little") + bytes(8)


def until_full(action: Callable[[int], bool]) -> int:
    """How many fit."""
    for number in range(1_000):
        try:
            assert action(number)
        except TableFull:
            return number
    raise AssertionError("it is never full")


def patiently(action: Callable[..., bool], *arguments: object) -> bool:
    """Try again while a holder of the lock is kept from running by a busy machine."""
    while True:
        with suppress(LockTimeout):
            return action(*arguments)


def mend(table: ProfileTable) -> list[bytes]:
    """What the sweep does, but for asking whether dialogs live; the keys of all members."""
    keys = []
    cursor = -1
    while cursor:
        rows, cursor = table.rows(max(cursor, 0), 1_000)
        for member, key, _, _, _ in rows:
            if key:
                keys.append(key)
            else:
                table.mend_member(member)
    table.mend_groups(0, table.groups, NOW)
    return keys


def groups(table: ProfileTable) -> list[tuple[bytes, int, int]]:
    return table.counts(b"", NOW)


def test_join_leave_size() -> None:
    table = ProfileTable.create(None, 10, 10)
    for number in range(5):
        assert table.join(KEY, did(number), 7, 5, NOW)
    assert not table.join(KEY, did(5), 7, 5, NOW)
    assert table.size(KEY, NOW) == 5
    assert table.size(b"caller\0bob", NOW) == 0
    assert sorted(table.list_members(KEY)) == [did(number) for number in range(5)]
    assert table.leave(KEY, did(0), NOW)
    assert not table.leave(KEY, did(0), NOW)
    assert not table.leave(b"caller\0bob", did(1), NOW)
    assert table.join(KEY, did(5), 7, 5, NOW)
    rows, cursor = table.rows(0, 1_000)
    assert cursor == 0
    assert {row[1:] for row in rows} == {(KEY, did(n), 7, NOW) for n in range(1, 6)}


def test_a_limit_that_refuses_the_first_leaves_no_group() -> None:
    table = ProfileTable.create(None, 10, 10)
    assert table.accept(KEY, 2, 1, 3, NOW + 10, NOW)
    assert not table.join(KEY, did(1), 0, 3, NOW)
    assert groups(table) == [(KEY, 0, 3)]
    assert table.join(KEY, did(1), 0, 4, NOW)
    assert table.size(KEY, NOW) == 4
    assert table.size(KEY, NOW + 10) == 1, "what a peer said has run out"


def test_groups_are_given_back_when_the_last_member_leaves() -> None:
    table = ProfileTable.create(None, 10, 10)
    for round_ in range(2_000):
        key = b"caller\0%d" % round_
        assert table.join(key, did(round_), 0, 0, NOW)
        assert table.leave(key, did(round_), NOW)
    assert groups(table) == []
    assert table.rows(0, 10) == ([], 0)


def test_counts_of_other_nodes() -> None:
    table = ProfileTable.create(None, 10, 10)
    assert table.join(KEY, did(1), 0, 0, NOW)
    for node in range(2, 9):
        assert table.accept(KEY, node, 5, node, NOW + 10, NOW)
    assert table.size(KEY, NOW) == 1 + sum(range(2, 9))
    assert not table.accept(KEY, 9, 1, 1, NOW + 10, NOW), "room for seven others"
    assert not table.accept(KEY, 2, 4, 100, NOW + 10, NOW), "said before its last start"
    assert table.accept(KEY, 2, 6, 0, NOW + 10, NOW)
    assert table.size(KEY, NOW) == 1 + sum(range(3, 9))
    assert table.accept(KEY, 9, 1, 1, NOW + 10, NOW), "a place that nobody's count holds any more"
    table.leave(KEY, did(1), NOW)
    table.mend_groups(0, table.groups, NOW + 11)
    assert groups(table) == []


def test_full_tables_refuse_and_keep_what_they_have() -> None:
    table = ProfileTable.create(None, 10, 10)
    members = until_full(lambda number: table.join(b"all\0", did(number), 0, 0, NOW))
    assert table.size(b"all\0", NOW) == members == len(table.list_members(b"all\0"))
    for number in range(members):
        table.leave(b"all\0", did(number), NOW)
    values = until_full(lambda number: table.accept(b"v\0%d" % number, 2, 1, 1, NOW + 10, NOW))
    assert len(groups(table)) == values
    with pytest.raises(ShmError):
        table.join(b"x" * 129, did(1), 0, 0, NOW)
    with pytest.raises(ShmError):
        table.join(KEY, b"short", 0, 0, NOW)


OPERATIONS: dict[str, tuple[int, Callable[[ProfileTable], object]]] = {
    "the first joins": (0, lambda table: table.join(KEY, did(9), 1, 3, NOW)),
    "one more joins": (2, lambda table: table.join(KEY, did(9), 1, 3, NOW)),
    "one too many": (3, lambda table: table.join(KEY, did(9), 1, 3, NOW)),
    "one of two leaves": (2, lambda table: table.leave(KEY, did(0), NOW)),
    "the last leaves": (1, lambda table: table.leave(KEY, did(0), NOW)),
    "a peer speaks": (1, lambda table: table.accept(KEY, 3, 1, 4, NOW + 5, NOW)),
    "a peer speaks first": (0, lambda table: table.accept(KEY, 3, 1, 4, NOW + 5, NOW)),
    "a peer falls silent": (0, lambda table: table.accept(KEY, 2, 1, 0, NOW + 5, NOW)),
}


@pytest.mark.parametrize("swept", [False, True])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_death_at_any_store_leaves_members_and_counts_that_agree(
    operation: str, swept: bool
) -> None:
    before, act = OPERATIONS[operation]
    store, sizes, survived = 0, [], False
    while not survived:
        store += 1
        table = ProfileTable.create(None, 10, 10)
        for number in range(before):
            table.join(KEY, did(number), 1, 0, NOW)
        if operation == "a peer falls silent":
            table.accept(KEY, 2, 1, 4, NOW + 5, NOW)
        survived = not killed_at(store, act, table)
        # The sweep finishes what was begun, though nobody else may come,
        if swept:
            mend(table)
            sizes_by_key = {key: count for key, count, _ in groups(table)}
            assert sizes_by_key.get(KEY, 0) == len(table.list_members(KEY)), store
        # and whoever comes by finds it in order, whatever it was.
        table.join(KEY, did(50), 1, 0, NOW)
        own = {key: count for key, count, _ in groups(table)}
        assert own.get(KEY, 0) == len(table.list_members(KEY)), store
        assert mend(table) == [KEY] * len(table.list_members(KEY))
        rows, _ = table.rows(0, 1_000)
        assert all(row[1] for row in rows), "a slot that nobody has stayed claimed"
        table.leave(KEY, did(50), NOW)
        sizes.append(len(table.list_members(KEY)))
        for member in table.list_members(KEY):
            assert table.leave(KEY, member, NOW)
        table.mend_groups(0, table.groups, NOW + 100)
        assert groups(table) == []
        assert table.rows(0, 1_000)[0] == []
    assert sizes[0] == before
    assert sizes in (sorted(sizes), sorted(sizes, reverse=True)), "a change was undone"
    assert store > 2


def test_a_death_during_the_repair_is_repaired_in_turn() -> None:
    for first in range(3, 16, 4):
        second, survived = 0, False
        while not survived:
            second += 1
            table = ProfileTable.create(None, 10, 10)
            table.join(KEY, did(0), 1, 0, NOW)
            killed_at(first, table.join, KEY, did(1), 1, 0, NOW)
            survived = not killed_at(second, table.join, KEY, did(2), 1, 0, NOW)
            table.join(KEY, did(3), 1, 0, NOW)
            mend(table)
            assert table.size(KEY, NOW) == len(table.list_members(KEY))


@pytest.mark.parametrize("limit", [1, 3, 10])
def test_a_cap_admits_exactly_as_many_under_a_race(limit: int) -> None:
    """Ten times as many as may come in, from four processes at once, a hundred times over."""
    table = ProfileTable.create(None, 1_000, 4_000)
    arena = table.arena
    rounds, each = 100, 10 * limit // 4 + 1

    def contender(which: int) -> Callable[[], None]:
        def act() -> None:
            admitted = 0
            for round_ in range(rounds):
                key = b"trunk\0%d" % round_
                for number in range(each):
                    who = did(which << 32 | round_ << 16 | number)
                    admitted += patiently(table.join, key, who, 1, limit, NOW)
            os.write(pipe[1], b"%d\n" % admitted)

        return act

    pipe = os.pipe()
    assert arena.size > 0
    pids = []
    for which in range(4):
        pid = os.fork()
        if pid == 0:
            contender(which)()
            os._exit(0)
        pids.append(pid)
    assert [wait(pid) for pid in pids] == [0] * 4
    os.close(pipe[1])
    with os.fdopen(pipe[0]) as told:
        assert sum(int(line) for line in told) == rounds * limit
    for round_ in range(rounds):
        assert table.size(b"trunk\0%d" % round_, NOW) == limit


def test_random_deaths_under_load_leave_nothing_astray() -> None:
    table = ProfileTable.create(None, 200, 2_000)

    def busy(which: int) -> Callable[[], None]:
        def act() -> None:
            draw = random.Random(which)
            inside: set[tuple[bytes, bytes]] = set()
            for number in range(1_000_000):
                with suppress(LockTimeout):  # on a busy machine a holder may be out for long
                    if inside and draw.random() < 0.5:
                        key, who = inside.pop()
                        table.leave(key, who, NOW)
                    elif len(inside) < 100:
                        key, who = b"p\0%d" % draw.randrange(5), did(which << 32 | number)
                        if table.join(key, who, 1, 40, NOW):
                            inside.add((key, who))

        return act

    draw = random.Random(1)
    for _ in range(15):
        with family(*(busy(draw.randrange(1 << 20)) for _ in range(3))) as pids:
            for pid in list(pids):
                deadline = draw.random() * 0.02
                assert run(lambda deadline=deadline: signal.sigtimedwait([], deadline)) == 0
                os.kill(pid, signal.SIGKILL)
                assert wait(pid) == -signal.SIGKILL
                pids.remove(pid)
        mend(table)
        for key, count, _ in groups(table):
            assert count == len(table.list_members(key))
            table.join(key, did(1 << 60), 1, 0, NOW)
            assert table.size(key, NOW) == len(table.list_members(key))
            for who in table.list_members(key):
                assert table.leave(key, who, NOW)
        assert groups(table) == []
        assert mend(table) == []
