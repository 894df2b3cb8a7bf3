"""Where dialogs are kept, for one process: the table, its ids, and the time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import cython

from proxy.cluster.hlc import HybridClock
from proxy.dialog.due import ADOPTION_S
from proxy.dialog.layout import (
    AT_DUE,
    AT_FLAGS,
    AT_OWNER,
    AT_STATE,
    AT_TIMEOUT,
    AT_VERSION,
    BYES_OPEN,
    END_WANTED,
    REFUSED,
    SHARING_TAG,
)
from proxy.dialog.profiles import Profiles
from proxy.dialog.record import is_sound, string, units_of
from proxy.dialog.replica import buried
from proxy.dialog.rules import DialogRules
from proxy.dialog.states import State
from proxy.errors import LockTimeout, ShmError
from proxy.limits.counters import (
    CORRUPT_RECORDS,
    DIALOG_COMMITS_REFUSED,
    LOCK_TIMEOUTS,
)
from proxy.shm.cluster_page import ClusterPage
from proxy.shm.dialog_table import ID_BLOCK, DialogTable
from proxy.shm.slots import Counters

if not cython.compiled:
    from proxy.shm.words import blank, fixed, get_u16, get_u32, get_u64, put_u16, put_u32, put_u64

BLOCK = ID_BLOCK
PAY_AGAIN_S = 0.25
OWED = 10_000  # changes that one process keeps in mind; the oldest are given up for more
CONFIRMED_NA = int(State.CONFIRMED_NA)
CONFIRMED = int(State.CONFIRMED)
DELETED = int(State.DELETED)
PATIENCE_S = ADOPTION_S


class DialogStore:
    """The dialog table and the profiles as one process uses them; it tells the time each turn."""

    def __init__(
        self,
        table: DialogTable,
        profiles: Profiles,
        rules: DialogRules,
        clock: HybridClock,
        counters: Counters,
        cluster: ClusterPage | None = None,
    ) -> None:
        self.table = table
        self.profiles = profiles
        self.rules = rules
        self.clock = clock
        self.counters = counters
        self.cluster = cluster  # who acts for what; None: this node for everything
        # told of each change of a state: the key, the state before, the record after
        self.watcher: Callable[[bytes, int, bytes], None] | None = None
        self.wall = 0
        self.wall_ms = 0
        self.next_id = 0
        self.ids_end = 0
        self.owed: deque[Callable[[], object]] = deque(maxlen=OWED)
        self.pay_at = 0.0

    def set_time(self, wall_ms: int) -> None:
        """The time of this turn."""
        self.wall_ms = wall_ms
        self.wall = wall_ms // 1000

    def new_did(self) -> bytes:
        """An id that no dialog ever had: 16 bytes as they stand in a record."""
        if self.next_id == self.ids_end:
            self.next_id = self.table.take_ids()
            self.ids_end = self.next_id + BLOCK
        made = blank(16)
        p = made
        put_u64(p, 0, self.next_id)
        put_u32(p, 8, self.table.id_epoch())
        put_u16(p, 12, self.rules.node)
        self.next_id += 1
        return fixed(made)

    def read(self, key: bytes) -> tuple[bytes | None, int]:
        """The record of a key and its stamp; (None, 0) when there is none that makes sense."""
        payload = self.table.read(key)
        if payload is not None and not is_sound(payload):
            self.counters.add(CORRUPT_RECORDS, 1)
            return None, 0
        return payload, self.table.seen

    def acts(self, payload: bytes) -> bool:
        """Whether this node may do anything unasked about a record: ping, end, write, remove.

        It may when it is active for the record's sharing tag; of what has none, for what it has
        changed last itself, and for what the node that did has not seen to for ten minutes.
        """
        if self.cluster is None:
            return True
        tag = string(payload, SHARING_TAG)
        if self.cluster.acts_for(tag, get_u16(payload, AT_OWNER)):
            return True
        return is_abandoned(payload, self.wall) and not self.cluster.has_tag(tag)

    def acting_since(self, payload: bytes) -> int:
        """The epoch of a record's tag: as long as it is the same, nobody else has acted."""
        return 0 if self.cluster is None else self.cluster.epoch(string(payload, SHARING_TAG))

    def sealed(self, draft: bytearray, floor: int) -> bytes:
        """The draft of a record with its version, and with us as who has changed it last."""
        p = draft
        put_u16(p, AT_OWNER, self.rules.node)
        put_u64(p, AT_VERSION, self.clock.tick(self.wall_ms, floor))
        return fixed(draft)

    def write(self, key: bytes, stamp: int, payload: bytes) -> int:
        """Commit: the new record's stamp, 0 if another was faster, REFUSED after a fault."""
        p = payload
        try:
            if not self.table.commit(
                key, stamp, payload, get_u32(p, AT_DUE), units_of(p[AT_STATE])
            ):
                return 0
        except ShmError as error:
            self.count(error)
            return REFUSED
        return self.table.committed

    def let_go(self, key: bytes, stamp: int, payload: bytes) -> bool:
        """Nothing is left to do for an ended dialog; False if it has changed meanwhile."""
        if not self.rules.replicated:
            return self.remove(key, stamp)
        return self.write(key, stamp, self.sealed(buried(payload), version_of(payload))) > REFUSED

    def clear(self, key: bytes) -> bool:
        """Let an ended dialog go if nothing else is left to do; False: somebody has to look at it.

        It need not be removed now: it may have changed meanwhile.
        """
        payload, stamp = self.read(key)
        if payload is None or payload[AT_STATE] != DELETED:
            return False
        if get_u32(payload, AT_FLAGS) & BYES_OPEN or not self.acts(payload):
            return False
        self.let_go(key, stamp, payload)
        return True

    def owe(self, change: Callable[[], object]) -> None:
        """A change could not be committed, but must not get lost: it is made again later."""
        self.owed.append(change)

    def pay(self, now: float) -> None:
        """Make the changes that are owed, until one has to wait again: a busy lock costs time."""
        if not self.owed or now < self.pay_at:
            return
        self.pay_at = now + PAY_AGAIN_S
        for _ in range(len(self.owed)):
            before = len(self.owed)
            self.owed.popleft()()
            if len(self.owed) == before:
                return

    def remove(self, key: bytes, stamp: int) -> bool:
        """Take a record out; False if it has changed meanwhile, or just now cannot be."""
        try:
            return self.table.commit(key, stamp, None, 0, 0)
        except ShmError as error:
            self.count(error)
            return False

    def count(self, error: ShmError) -> None:
        """A commit that could not be made."""
        timeout = isinstance(error, LockTimeout)
        self.counters.add(LOCK_TIMEOUTS if timeout else DIALOG_COMMITS_REFUSED, 1)


def version_of(payload: bytes) -> int:
    """The version of a record."""
    return get_u64(payload, AT_VERSION)


def is_abandoned(payload: bytes, wall: int) -> bool:
    """Whether its end should long have come, been written or been given up. Pings do not count."""
    p = payload
    due = get_u32(p, AT_DUE)
    answered = p[AT_STATE] == CONFIRMED or p[AT_STATE] == CONFIRMED_NA
    if answered and not get_u32(p, AT_FLAGS) & END_WANTED:
        due = get_u32(p, AT_TIMEOUT)
    return 0 < due <= wall - PATIENCE_S
