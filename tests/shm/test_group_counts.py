"""Which numbers of members have changed since they were looked at last."""

from __future__ import annotations

import random

from proxy.shm.group_counts import GroupCounts
from proxy.shm.profile_table import ProfileTable

NOW = 1_000


def did(number: int) -> bytes:
    return number.to_bytes(16, "little")


def test_only_what_has_changed_is_told() -> None:
    table = ProfileTable.create(None, 256, 256)
    counts = GroupCounts(table)
    assert counts.changed() == {}
    table.join(b"p\0a", did(1), 1, 0, NOW)
    table.join(b"p\0a", did(2), 1, 0, NOW)
    table.join(b"p\0b", did(3), 1, 0, NOW)
    assert counts.changed() == {b"p\0a": 2, b"p\0b": 1}
    assert counts.changed() == {}
    assert counts.used == 2
    table.leave(b"p\0a", did(1), NOW)
    table.leave(b"p\0b", did(3), NOW)
    assert counts.changed() == {b"p\0a": 1, b"p\0b": 0}
    assert counts.used == 1


def test_another_nodes_members_are_not_ours() -> None:
    table = ProfileTable.create(None, 256, 256)
    counts = GroupCounts(table)
    table.accept(b"p\0a", 2, 1, 7, NOW + 10, NOW)
    assert counts.changed() == {}
    assert counts.used == 1


def test_a_place_that_was_given_to_another_value_meanwhile() -> None:
    table = ProfileTable.create(None, 256, 256, seed=3)
    first, second = alike(table)
    counts = GroupCounts(table)
    table.join(first, did(1), 1, 0, NOW)
    assert counts.changed() == {first: 1}
    table.leave(first, did(1), NOW)
    table.join(second, did(2), 1, 0, NOW)
    assert counts.changed() == {first: 0, second: 1}


def alike(table: ProfileTable) -> tuple[bytes, bytes]:
    """Two keys that want the same place."""
    places: dict[int, bytes] = {}
    for number in range(10_000):
        key = b"p\0%d" % number
        other = places.setdefault(table.hash_of(key) % table.groups, key)
        if other != key:
            return other, key
    raise AssertionError("no two keys are alike")


def test_whatever_happens_the_news_add_up() -> None:
    rng = random.Random(5)
    table = ProfileTable.create(None, 256, 1_024, seed=1)
    counts = GroupCounts(table)
    members: dict[bytes, set[int]] = {}
    known: dict[bytes, int] = {}
    for number in range(4_000):
        key = b"p\0%d" % rng.randrange(60)
        inside = members.setdefault(key, set())
        if inside and rng.random() < 0.55:
            assert table.leave(key, did(inside.pop()), NOW)
        elif sum(map(len, members.values())) < 400:
            assert table.join(key, did(number), 1, 0, NOW)
            inside.add(number)
        if rng.random() < 0.1:
            known.update(counts.changed())
            assert {k: n for k, n in known.items() if n} == {
                k: len(inside) for k, inside in members.items() if inside
            }
