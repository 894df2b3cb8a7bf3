"""Who is in which profile: groups of members in shared memory, joined and left in one step.

A group is a profile with one value, a member the id of a dialog. A slot of a member names its group
or nobody, and that word is the truth; the count beside a group's name is made of it. Whoever holds
the robust lock of a group's stripe notes what it is about to do; its successor, if it dies, looks
at the slot and knows the count. All of it is made anew from the dialogs at every start.
"""

from __future__ import annotations

from proxy.errors import ShmError, TableFull
from proxy.limits import bounds
from proxy.shm import layout
from proxy.shm.arena import Arena, fold

KIND = b"profiles"
LAYOUT = "stripe 64: lock op group member before; index 4; group 256: count key remotes; member 32"
_LOW = 0xFFFFFFFF  # a literal as large would be a Python number when compiled
_LINE = layout.LINE
_STRIPES = 256
_STRIPES_AT = layout.HEADER_BYTES
_INDEX_AT = _STRIPES_AT + _STRIPES * layout.LINE
# Beside a stripe's lock: what its holder is doing.
_OP = layout.BESIDE_LOCK
_OP_GROUP = layout.BESIDE_LOCK + 4
_OP_MEMBER = layout.BESIDE_LOCK + 8
_OP_BEFORE = layout.BESIDE_LOCK + 12
_JOIN, _LEAVE = 1, 2
# A group: its key, and what other nodes have said.
_GROUP = 256
_GENERATION = 0
_COUNT = 4
_KEY_LENGTH = 8
_KEY = 16
_REMOTES = 144
_REMOTE = 16
_KEY_BYTES = bounds.PROFILE_KEY_BYTES
# A member.
_MEMBER = 32
_OWNER = 0
_JOINED_AT = 4
_DIALOG_HASH = 8
_DID = 16
_CLAIM = 0x80000000
_GROUP_WINDOW = 256  # places a group may have, by its hash
_MEMBER_WINDOW = 128
NO_GROUP = -1
# For who looks at all groups (group_counts.py).
INDEX_AT = _INDEX_AT
GROUP_BYTES = _GROUP
GENERATION_AT = _GENERATION
COUNT_AT = _COUNT


class ProfileTable:
    """Groups and members of one node; keys and ids are bytes."""

    def __init__(self, arena: Arena, groups: int, members: int, seed: int) -> None:
        self.arena = arena
        self.groups = groups
        self.members = members
        self.seed = seed
        self.groups_at = _INDEX_AT + 4 * groups
        self.members_at = self.groups_at + _GROUP * groups
        self.repairs = 0

    @staticmethod
    def create(path: str | None, groups: int, members: int, *, seed: int = 0) -> ProfileTable:
        """An empty table, sizes rounded up; without a path it lives in the family only."""
        groups = _power_of_two(max(groups, _GROUP_WINDOW))
        members = _power_of_two(max(members, _MEMBER_WINDOW))
        size = _INDEX_AT + groups * (4 + _GROUP) + members * _MEMBER
        arena = Arena.anonymous(size) if path is None else Arena.create(path, size)
        for stripe in range(_STRIPES):
            arena.make_lock(_STRIPES_AT + stripe * _LINE)
        layout.write(arena, KIND, LAYOUT, (groups, members), seed=seed)
        return ProfileTable(arena, groups, members, seed)

    @staticmethod
    def over(arena: Arena) -> ProfileTable:
        """The table in a mapping that others use; nothing in it changes."""
        header = layout.read(arena, KIND, LAYOUT)
        groups, members = header.geometry[:2]
        if _INDEX_AT + groups * (4 + _GROUP) + members * _MEMBER != arena.size:
            raise ShmError(f"{arena.path} has a header that contradicts itself")
        return ProfileTable(arena, groups, members, header.seed)

    # -- one step each ------------------------------------------------------------------------

    def join(
        self,
        key: bytes,
        did: bytes,
        dialog_hash: int,
        limit: int,
        now: int,
        may_be_in: bool = False,
    ) -> bool:
        """Make a dialog a member unless the group has `limit` members (0: no limit) already.

        Once only for each dialog: who asks knows what it has joined, or says that it `may_be_in`,
        and then a member stays one. TableFull and LockTimeout leave everything as it was.
        """
        hash32 = self.hash_of(key)
        stripe_at = self._acquire(hash32)
        try:
            group = self._find(key, hash32)
            if group < 0:
                group = self._found(key, hash32)
            elif may_be_in and self._member(group, did) >= 0:
                return True
            group_at = self.groups_at + group * _GROUP
            count = self.arena.u32(group_at + _COUNT)
            if 0 < limit <= count + self._remote(group_at, now):
                if count == 0:
                    self._release_if_empty(group, now)
                return False
            member = self._claim(group, did)
            member_at = self.members_at + member * _MEMBER
            self._note(stripe_at, _JOIN, group, member, count)
            self.arena.put_u32(member_at + _JOINED_AT, now & _LOW)
            self.arena.put_u32(member_at + _DIALOG_HASH, dialog_hash)
            self.arena.put(member_at + _DID, did)
            self.arena.put_u32(member_at + _OWNER, group + 1)  # here it becomes a member
            self.arena.put_u32(group_at + _COUNT, count + 1)
            self.arena.put_u32(stripe_at + _OP, 0)
            return True
        finally:
            self.arena.unlock(stripe_at)

    def leave(self, key: bytes, did: bytes, now: int) -> bool:
        """End a membership; False when there was none."""
        hash32 = self.hash_of(key)
        stripe_at = self._acquire(hash32)
        try:
            group = self._find(key, hash32)
            if group < 0:
                return False
            member = self._member(group, did)
            if member < 0:
                return False
            self._remove(stripe_at, group, member, now)
            return True
        finally:
            self.arena.unlock(stripe_at)

    def accept(
        self, key: bytes, node: int, incarnation: int, count: int, expires_at: int, now: int
    ) -> bool:
        """Remember how many members another node has; False when that is old or has no room."""
        hash32 = self.hash_of(key)
        stripe_at = self._acquire(hash32)
        try:
            group = self._find(key, hash32)
            if group < 0:
                if count == 0:
                    return True
                group = self._found(key, hash32)
            at = self._remote_place(self.groups_at + group * _GROUP, node, now)
            if at == 0:
                return False
            if self.arena.u32(at) == node and self.arena.u32(at + 4) > incarnation:
                return False  # said before that node's last start
            self.arena.put_u32(at + 12, 0)
            self.arena.put_u32(at, node)
            self.arena.put_u32(at + 4, incarnation)
            self.arena.put_u32(at + 8, count)
            self.arena.put_u32(at + 12, expires_at if count else 0)  # from here on it counts
            if count == 0:
                self._release_if_empty(group, now)
            return True
        finally:
            self.arena.unlock(stripe_at)

    # -- asking, without a lock ---------------------------------------------------------------

    def size(self, key: bytes, now: int) -> int:
        """How many members a group has, here and on other nodes."""
        hash32 = self.hash_of(key)
        while True:
            group = self._find(key, hash32)
            if group < 0:
                return 0
            group_at = self.groups_at + group * _GROUP
            generation = self.arena.u32(group_at + _GENERATION)
            size = self.arena.u32(group_at + _COUNT) + self._remote(group_at, now)
            if self._find(key, hash32) == group and self.arena.unchanged(
                group_at + _GENERATION, generation
            ):
                return size

    def has(self, key: bytes) -> bool:
        """Whether a group exists, with members here or elsewhere."""
        return self._find(key, self.hash_of(key)) >= 0

    def key_at(self, group: int) -> bytes:
        """The key of group number `group`; empty while it is being made."""
        return self._key_of(self.groups_at + group * _GROUP)

    def counts(self, prefix: bytes, now: int) -> list[tuple[bytes, int, int]]:
        """Key, own members and other nodes' of every group whose key begins with `prefix`."""
        found: list[tuple[bytes, int, int]] = []
        for group in range(self.groups):
            if self.arena.u32(_INDEX_AT + 4 * group) == 0:
                continue
            group_at = self.groups_at + group * _GROUP
            key = self._key_of(group_at)
            if key and key.startswith(prefix):
                count = self.arena.u32(group_at + _COUNT)
                found.append((key, count, self._remote(group_at, now)))
        return found

    def list_members(self, key: bytes) -> list[bytes]:
        """The ids of a group's members on this node."""
        group = self._find(key, self.hash_of(key))
        found: list[bytes] = []
        if group < 0:
            return found
        for member in range(self.members):
            at = self.members_at + member * _MEMBER
            if self.arena.u32(at + _OWNER) == group + 1:
                found.append(self.arena.copy(at + _DID, 16))
        return found

    def rows(self, cursor: int, limit: int) -> tuple[list[tuple[int, bytes, bytes, int, int]], int]:
        """Members from `cursor` on, about `limit` of them, and the next cursor; 0 = begin, end.

        Slot, key, did, hash of the dialog's key, since when; the key is empty in a slot that is
        being given away.
        """
        found: list[tuple[int, bytes, bytes, int, int]] = []
        member = cursor
        while member < self.members and len(found) < limit:
            at = self.members_at + member * _MEMBER
            owner = self.arena.u32(at + _OWNER)
            if owner & _CLAIM:
                found.append((member, b"", b"", 0, 0))
            elif 0 < owner <= self.groups:
                key = self._key_of(self.groups_at + (owner - 1) * _GROUP)
                did = self.arena.copy(at + _DID, 16)
                dialog_hash = self.arena.u32(at + _DIALOG_HASH)
                found.append((member, key, did, dialog_hash, self.arena.u32(at + _JOINED_AT)))
            member += 1
        return found, member if member < self.members else 0

    def mend_groups(self, cursor: int, limit: int, now: int) -> int:
        """Give back groups that nobody is in, among `limit` places from `cursor`; the next cursor.

        Such a one is left by a death, or by another node whose count has run out. What somebody
        died over is finished first: sizes are right again though nobody may come by.
        """
        if cursor == 0:
            self.finish_steps()
        group = cursor
        end = min(cursor + limit, self.groups)
        while group < end:
            if self.arena.u32(_INDEX_AT + 4 * group):
                at = self.groups_at + group * _GROUP
                if self.arena.u32(at + _KEY_LENGTH) == 0 or (
                    self.arena.u32(at + _COUNT) == 0 and self._remote(at, now) == 0
                ):
                    self.mend_group(group, now)
            group += 1
        return group if group < self.groups else 0

    # -- mending ------------------------------------------------------------------------------

    def finish_steps(self) -> None:
        """Finish what was begun under a lock whose holder is dead; LockTimeout as everywhere."""
        for stripe in range(_STRIPES):
            if self.arena.u32(_STRIPES_AT + stripe * _LINE + _OP):
                self.arena.unlock(self._acquire(stripe))

    def mend_member(self, member: int) -> bool:
        """Free a slot that somebody died over before it was a member's."""
        at = self.members_at + member * _MEMBER
        owner = self.arena.u32(at + _OWNER)
        if owner & _CLAIM == 0:
            return False
        group = (owner & ~_CLAIM) - 1
        if group >= self.groups:
            return False
        stripe_at = self._acquire(self.arena.u32(_INDEX_AT + 4 * group))
        try:
            # Whoever claims holds this lock, unless the group has been given away: then it is dead.
            if self.arena.u32(at + _OWNER) == owner:
                self.arena.put_u32(at + _OWNER, 0)
                return True
            return False
        finally:
            self.arena.unlock(stripe_at)

    def mend_group(self, group: int, now: int) -> bool:
        """Give back a group that nobody is in any more, or that somebody died making."""
        hash32 = self.arena.u32(_INDEX_AT + 4 * group)
        if hash32 == 0:
            return False
        stripe_at = self._acquire(hash32)
        try:
            if self.arena.u32(_INDEX_AT + 4 * group) != hash32:
                return False
            return self._release_if_empty(group, now)
        finally:
            self.arena.unlock(stripe_at)

    # -- inside -------------------------------------------------------------------------------

    def hash_of(self, key: bytes) -> int:
        """The keyed hash that chooses stripe and place; never 0."""
        return (fold(key, self.seed) & _LOW) or 1

    def _acquire(self, hash32: int) -> int:
        """Take the lock of a group's stripe, finishing what a dead holder had begun."""
        at = _STRIPES_AT + (hash32 & (_STRIPES - 1)) * _LINE
        if self.arena.lock(at):
            self._repair(at)
            self.arena.adopt(at)
            self.repairs += 1
        return at

    def _repair(self, stripe_at: int) -> int:
        op = self.arena.u32(stripe_at + _OP)
        if op == 0:
            return 0
        group = self.arena.u32(stripe_at + _OP_GROUP)
        before = self.arena.u32(stripe_at + _OP_BEFORE)
        at = self.members_at + self.arena.u32(stripe_at + _OP_MEMBER) * _MEMBER
        owner = self.arena.u32(at + _OWNER)
        is_member = owner == group + 1
        if op == _JOIN:
            if owner == _CLAIM | (group + 1):
                self.arena.put_u32(at + _OWNER, 0)
            count = before + is_member
        else:
            count = before - (not is_member)
        self.arena.put_u32(self.groups_at + group * _GROUP + _COUNT, count)
        self.arena.put_u32(stripe_at + _OP, 0)
        return 0

    def _note(self, stripe_at: int, op: int, group: int, member: int, before: int) -> int:
        """What the holder of a lock is about to do; the last word makes it valid."""
        self.arena.put_u32(stripe_at + _OP_GROUP, group)
        self.arena.put_u32(stripe_at + _OP_MEMBER, member)
        self.arena.put_u32(stripe_at + _OP_BEFORE, before)
        self.arena.put_u32(stripe_at + _OP, op)
        return 0

    def _remove(self, stripe_at: int, group: int, member: int, now: int) -> int:
        group_at = self.groups_at + group * _GROUP
        count = self.arena.u32(group_at + _COUNT)
        self._note(stripe_at, _LEAVE, group, member, count)
        self.arena.put_u32(self.members_at + member * _MEMBER + _OWNER, 0)  # here it is none
        self.arena.put_u32(group_at + _COUNT, count - 1)
        self.arena.put_u32(stripe_at + _OP, 0)
        if count == 1:
            self._release_if_empty(group, now)
        return 0

    def _find(self, key: bytes, hash32: int) -> int:
        """The group of a key, NO_GROUP when there is none."""
        length = len(key)
        mask = self.groups - 1
        for step in range(_GROUP_WINDOW):
            group = (hash32 + step) & mask
            if self.arena.u32(_INDEX_AT + 4 * group) == hash32:
                at = self.groups_at + group * _GROUP
                if self.arena.u32(at + _KEY_LENGTH) == length and self.arena.equals(at + _KEY, key):
                    return group
        return NO_GROUP

    def _found(self, key: bytes, hash32: int) -> int:
        """Make the group of a key; the lock of its stripe is held."""
        if not 0 < len(key) <= _KEY_BYTES:
            raise ShmError(f"a profile with its value has 1 to {_KEY_BYTES} bytes")
        mask = self.groups - 1
        for step in range(_GROUP_WINDOW):
            group = (hash32 + step) & mask
            if self.arena.swap_u32(_INDEX_AT + 4 * group, 0, hash32):
                at = self.groups_at + group * _GROUP
                self.arena.put_u32(at + _GENERATION, (self.arena.u32(at + _GENERATION) + 1) & _LOW)
                self.arena.zero(at + _COUNT, _GROUP - _COUNT)
                self.arena.put(at + _KEY, key)
                self.arena.put_u32(at + _KEY_LENGTH, len(key))  # here the group begins to exist
                return group
        raise TableFull(f"{self.arena.path} has no room for one more value of a profile")

    def _release_if_empty(self, group: int, now: int) -> bool:
        """Give a group back when nobody is in it, here or elsewhere; its stripe's lock is held."""
        at = self.groups_at + group * _GROUP
        if self.arena.u32(at + _KEY_LENGTH) and (
            self.arena.u32(at + _COUNT) or self._remote(at, now)
        ):
            return False
        self.arena.put_u32(at + _KEY_LENGTH, 0)
        self.arena.put_u32(_INDEX_AT + 4 * group, 0)
        return True

    def _claim(self, group: int, did: bytes) -> int:
        """A free slot for a member of a group."""
        if len(did) != 16:
            raise ShmError("the id of a dialog has 16 bytes")
        mask = self.members - 1
        first = fold(did, self.seed ^ group)
        for step in range(_MEMBER_WINDOW):
            member = (first + step) & mask
            if self.arena.swap_u32(
                self.members_at + member * _MEMBER + _OWNER, 0, _CLAIM | (group + 1)
            ):
                return member
        raise TableFull(f"{self.arena.path} has no room for one more member")

    def _member(self, group: int, did: bytes) -> int:
        """The slot of a group's member, or -1."""
        mask = self.members - 1
        first = fold(did, self.seed ^ group)
        for step in range(_MEMBER_WINDOW):
            member = (first + step) & mask
            at = self.members_at + member * _MEMBER
            if self.arena.u32(at + _OWNER) == group + 1 and self.arena.equals(at + _DID, did):
                return member
        return -1

    def _remote(self, group_at: int, now: int) -> int:
        """What other nodes have said that still holds."""
        total = 0
        for at in range(group_at + _REMOTES, group_at + _GROUP, _REMOTE):
            if self.arena.u32(at + 12) > now:
                total += self.arena.u32(at + 8)
        return total

    def _remote_place(self, group_at: int, node: int, now: int) -> int:
        """Where a node's count is, or may be put; 0 when seven others have theirs there."""
        free = 0
        for at in range(group_at + _REMOTES, group_at + _GROUP, _REMOTE):
            if self.arena.u32(at) == node:
                return at
            if self.arena.u32(at + 12) <= now:
                free = at
        return free

    def _key_of(self, group_at: int) -> bytes:
        length = self.arena.u32(group_at + _KEY_LENGTH)
        return self.arena.copy(group_at + _KEY, length) if length <= _KEY_BYTES else b""


def _power_of_two(least: int) -> int:
    power = 1
    while power < least:
        power *= 2
    return power
