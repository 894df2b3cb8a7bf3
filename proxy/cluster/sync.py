"""Snapshots: all records of the buckets in which two nodes differ, for a node that asks for them.

An empty node differs in all of them and gets everything; a node that missed a few changes gets a
few buckets. There is no other way to catch up or to repair. It ends with a count and a sum over
what was sent: only when both match what arrived, the one who asked holds all that the donor had.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from proxy.cluster.digests import bucket_of, hash_bytes
from proxy.cluster.frames import Record, encode_records
from proxy.cluster.messages import SNAPSHOT_HEAD, SnapshotEnd
from proxy.cluster.store import Store
from proxy.limits import bounds
from proxy.shm.mixing import hash_words, mix

# Small, for whoever waits for the processor waits for this.
SCANNED_AT_ONCE = 64
SCANS_PER_TURN = 8
FRAMES_PER_TURN = 1
_BATCH_RECORDS = bounds.BATCH_RECORDS
_SNAPSHOT_BYTES = bounds.SNAPSHOT_BYTES
_ALL = 0xFFFF_FFFF_FFFF_FFFF  # a literal as large would be a Python number when compiled


def content_sum(records: list[Record]) -> int:
    """The sum over records as they are sent, in any order."""
    total = 0
    for table, key, body in records:
        total = (total + mix(hash_bytes(key, table) ^ hash_words(body, 0))) & _ALL
    return total


def those_wanted(records: list[Record], wanted: bytes) -> list[Record]:
    """The records of the buckets that have a 1."""
    found: list[Record] = []
    p = wanted
    for record in records:
        table, key, _ = record
        if p[bucket_of(table, key)]:
            found.append(record)
    return found


def fitting(records: list[Record]) -> int:
    """How many of them, from the first on, make a frame."""
    size = 0
    taken = 0
    for _, key, body in records:
        size += len(key) + len(body)
        taken += 1
        if size >= _SNAPSHOT_BYTES or taken == _BATCH_RECORDS:
            break
    return taken


@dataclass(slots=True)
class Pull:
    """A snapshot that we asked for: what came of it so far."""

    donor: int
    question: int
    donor_synced: bool
    asked_at: int
    progress_at: int
    expected: int = 0  # the number of the next frame
    count: int = 0
    digest: int = 0
    news: int = 0  # records that changed something here
    answered: bool = False
    owes_ack: bool = False
    gap: bool = False  # and the acknowledgement asks to go back

    def take(self, number: int, records: list[Record], now: int) -> bool:
        """A frame of it; False when it is not the next one and nothing may be done with it."""
        if number != self.expected:
            return False
        self.expected += 1
        self.count += len(records)
        self.digest = (self.digest + content_sum(records)) & _ALL
        self.progress_at = now
        self.answered = True
        return True

    def is_whole(self, number: int, end: SnapshotEnd) -> bool:
        """Whether what came is what was sent."""
        return (number, end.records, end.digest) == (self.expected, self.count, self.digest)


@dataclass(slots=True)
class Serving:
    """A snapshot that a peer gets from us."""

    peer: int
    question: int
    wanted: bytes  # one byte per bucket
    progress_at: int
    cursor: int = 0
    scanned: bool = False
    number: int = 0
    count: int = 0
    digest: int = 0
    rest: list[Record] = field(default_factory=list)
    under_way: deque[tuple[int, bytes]] = field(default_factory=deque)
    end: SnapshotEnd | None = None
    end_sent: bool = False
    acknowledged_end: bool = False
    sent_again_at: int = 0

    def fill(self, store: Store, window: int) -> list[tuple[int, bytes]]:
        """The next frames (number, body) that may leave: some of what the window allows."""
        fresh: list[tuple[int, bytes]] = []
        scans = 0
        while (
            self.end is None
            and len(self.under_way) < window
            and len(fresh) < FRAMES_PER_TURN
            and scans < SCANS_PER_TURN
        ):
            if not self.scanned and fitting(self.rest) == len(self.rest):
                self._scan(store)
                scans += 1
            elif self.rest:
                fresh.append(self._cut())
            else:
                self.end = SnapshotEnd(self.question, self.count, self.digest)
        return fresh

    def _scan(self, store: Store) -> None:
        records, self.cursor = store.scan(self.cursor, SCANNED_AT_ONCE)
        self.scanned = self.cursor == 0
        self.rest += those_wanted(records, self.wanted)

    def _cut(self) -> tuple[int, bytes]:
        taken = fitting(self.rest)
        records = self.rest[:taken]
        del self.rest[:taken]
        frame = (self.number, encode_records(SNAPSHOT_HEAD.pack(self.question), records))
        self.number += 1
        self.count += taken
        self.digest = (self.digest + content_sum(records)) & _ALL
        self.under_way.append(frame)
        return frame

    def acknowledge(self, number: int, now: int) -> None:
        """The peer has the frames below `number`."""
        while self.under_way and self.under_way[0][0] < number:
            self.under_way.popleft()
            self.progress_at = now

    @property
    def is_over(self) -> bool:
        """Whether the peer has everything but perhaps the end."""
        return self.end is not None and not self.under_way


def choose_donor(
    node: int, needy: list[int], synced: set[int], load: dict[int, int], has_baseline: bool
) -> int:
    """Whom to ask next, 0 = nobody.

    A node without a baseline asks a synced node first, the one with the least to do; joiners that
    start together spread over equals. After that, each peer that it has to compare itself with.
    """
    donors = sorted(synced) if not has_baseline and synced else sorted(needy)
    if not donors:
        return 0
    start = node % len(donors)
    order = donors[start:] + donors[:start]
    return min(order, key=lambda peer: load.get(peer, 0))
