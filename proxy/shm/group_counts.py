"""Which profiles have another number of members here than when they were looked at last.

Another node is told absolute numbers several times a second; most have not changed, and finding
those that have must cost next to nothing.
"""

from __future__ import annotations

import cython

from proxy.shm.profile_table import COUNT_AT, GENERATION_AT, GROUP_BYTES, INDEX_AT, ProfileTable

if not cython.compiled:
    from proxy.shm.words import get_u32, put_u32

_INDEX = INDEX_AT
_GROUP = GROUP_BYTES
_GENERATION = GENERATION_AT
_COUNT = COUNT_AT


class GroupCounts:
    """The members that each group had when changed() was asked last."""

    def __init__(self, table: ProfileTable) -> None:
        self.table = table
        self.seen = bytearray(8 * table.groups)  # generation, count
        self.keys: dict[int, bytes] = {}  # of the groups that had members
        self.used = 0  # groups there are, with members here or elsewhere

    def changed(self) -> dict[bytes, int]:
        """Key and own members of every group where that is another number."""
        table = self.table
        p = self.seen
        found: dict[bytes, int] = {}
        gone: list[bytes] = []
        used = 0
        for group in range(table.groups):
            generation = count = 0
            if table.arena.u32(_INDEX + 4 * group):
                used += 1
                at = table.groups_at + group * _GROUP
                generation = table.arena.u32(at + _GENERATION)
                count = table.arena.u32(at + _COUNT)
            before = get_u32(p, 8 * group + 4)
            if count == before and (count == 0 or generation == get_u32(p, 8 * group)):
                continue
            if before:
                gone.append(self.keys.pop(group))
            if count:
                key = table.key_at(group)
                if not key or table.arena.u32(at + _GENERATION) != generation:
                    count = 0  # it is just being given to somebody else: the next time
                else:
                    self.keys[group] = key
                    found[key] = count
            put_u32(p, 8 * group, generation)
            put_u32(p, 8 * group + 4, count)
        self.used = used
        for key in gone:
            found.setdefault(key, 0)
        return found
