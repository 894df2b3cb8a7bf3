"""What the frames between nodes say, apart from records: each kind's body to a value and back.

Every decoder reads the fields it knows, checks each number, and skips what follows.
"""

from __future__ import annotations

from enum import IntEnum
from struct import Struct, error
from typing import NamedTuple

from proxy.cluster.digests import BUCKETS, SUMS_BYTES
from proxy.cluster.settings import MARK_BYTES
from proxy.errors import BadFrame
from proxy.limits import bounds

_HELLO = Struct("<QQQQH")
_WELCOME = Struct("<QQB")
_ACK = Struct("<QHBB")
_SYNC_ASK = Struct("<QH")
_SNAPSHOT_END = Struct("<QQQ")
_SYNC_ACK = Struct("<QB")
_BEAT = Struct("<QQQQBBHBH")
_BEAT_NEIGHBOUR = Struct("<HB")
_BEAT_TAG = Struct("<QHB")
_COUNTS_TOLD_ENTRY = Struct("<QBB")


class Kind(IntEnum):
    """The kinds of frames; those that a node does not know it counts and drops."""

    HELLO = 1
    WELCOME = 2
    DATA = 3
    ACK = 4
    SYNC_ASK = 5
    SYNC_LATER = 6
    SNAPSHOT = 7
    SNAPSHOT_END = 8
    SYNC_ACK = 9
    BEAT = 10
    COUNTS = 11
    BYE = 12


class Hello(NamedTuple):
    """I follow you: where I am in your changes. `greeting` names this very question."""

    greeting: int
    epoch: int  # of your changes that I have, 0 = none
    position: int
    wall_ms: int
    tables: tuple[int, ...]
    mark: bytes = b""  # of my secret; an earlier version tells none

    def encode(self) -> bytes:
        """The body."""
        head = _HELLO.pack(self.greeting, self.epoch, self.position, self.wall_ms, len(self.tables))
        return head + bytes(self.tables) + self.mark

    @classmethod
    def decode(cls, body: bytes) -> Hello:
        """What a body says."""
        greeting, epoch, position, wall_ms, count = unpack(_HELLO, body, 0)
        tables = cut(body, _HELLO.size, count)
        at = _HELLO.size + count
        mark = cut(body, at, MARK_BYTES) if len(body) > at else b""
        return cls(greeting, epoch, position, wall_ms, tuple(tables), mark)


class Welcome(NamedTuple):
    """My changes come to you from `position` on; unless `resumed`, you have to compare with me.

    Greeting 0: nobody asked, but you have fallen behind what I remember.
    """

    greeting: int
    position: int
    resumed: bool

    def encode(self) -> bytes:
        """The body."""
        return _WELCOME.pack(self.greeting, self.position, self.resumed)

    @classmethod
    def decode(cls, body: bytes) -> Welcome:
        """What a body says."""
        greeting, position, resumed = unpack(_WELCOME, body, 0)
        return cls(greeting, position, bool(resumed))


DATA_HEAD = Struct("<Q")  # the position this batch follows; the frame's sequence is where it ends
SNAPSHOT_HEAD = Struct("<Q")  # the question it answers; the frame's sequence is its number


class Ack(NamedTuple):
    """All your changes up to the frame's sequence are committed here."""

    epoch: int  # of the changes, yours
    credit: int  # frames that you may have under way
    gap: bool  # something is missing: go back to there
    whole: bool  # and I lack nothing older of yours

    def encode(self) -> bytes:
        """The body."""
        return _ACK.pack(*self)

    @classmethod
    def decode(cls, body: bytes) -> Ack:
        """What a body says."""
        epoch, credit, gap, whole = unpack(_ACK, body, 0)
        return cls(epoch, credit, bool(gap), bool(whole))


class SyncAsk(NamedTuple):
    """Send me all records of the buckets whose sums are not these."""

    question: int
    sums: bytes

    def encode(self) -> bytes:
        """The body."""
        return _SYNC_ASK.pack(self.question, BUCKETS) + self.sums

    @classmethod
    def decode(cls, body: bytes) -> SyncAsk:
        """What a body says."""
        question, buckets = unpack(_SYNC_ASK, body, 0)
        if buckets != BUCKETS:
            raise BadFrame(f"sums of {buckets} buckets and not of {BUCKETS}")
        return cls(question, cut(body, _SYNC_ASK.size, SUMS_BYTES))


class SnapshotEnd(NamedTuple):
    """That was everything: so many records, with this sum."""

    question: int
    records: int
    digest: int

    def encode(self) -> bytes:
        """The body."""
        return _SNAPSHOT_END.pack(*self)

    @classmethod
    def decode(cls, body: bytes) -> SnapshotEnd:
        """What a body says."""
        return cls(*unpack(_SNAPSHOT_END, body, 0))


class SyncAck(NamedTuple):
    """I have the snapshot's frames below the frame's sequence."""

    question: int
    gap: bool

    def encode(self) -> bytes:
        """The body."""
        return _SYNC_ACK.pack(*self)

    @classmethod
    def decode(cls, body: bytes) -> SyncAck:
        """What a body says."""
        question, gap = unpack(_SYNC_ACK, body, 0)
        return cls(question, bool(gap))


class Beat(NamedTuple):
    """A sign of life, with what the peers should know all the time."""

    wall_ms: int
    stable_ms: int  # what I changed before this moment of my clock is at every node
    root: int
    position: int  # the end of my changes
    synced: bool
    seed: bool
    serving: int  # snapshots under way and waiting here
    enabled: bool
    neighbours: tuple[tuple[int, bool], ...]  # whom I hear, and whether they hear me
    tags: tuple[tuple[str, int, int], ...]  # name, epoch, holder

    def encode(self) -> bytes:
        """The body."""
        pieces = [
            _BEAT.pack(
                self.wall_ms,
                self.stable_ms,
                self.root,
                self.position,
                self.synced,
                self.seed,
                self.serving,
                self.enabled,
                len(self.neighbours),
            )
        ]
        pieces += [_BEAT_NEIGHBOUR.pack(node, mutual) for node, mutual in self.neighbours]
        pieces.append(len(self.tags).to_bytes(2, "little"))
        for name, epoch, holder in self.tags:
            text = name.encode()
            pieces += [_BEAT_TAG.pack(epoch, holder, len(text)), text]
        return b"".join(pieces)

    @classmethod
    def decode(cls, body: bytes) -> Beat:
        """What a body says."""
        wall, stable, root, position, synced, seed, serving, enabled, count = unpack(_BEAT, body, 0)
        if count > bounds.CLUSTER_NODES:
            raise BadFrame(f"a node with {count} neighbours")
        at = _BEAT.size
        neighbours = []
        for _ in range(count):
            node, mutual = unpack(_BEAT_NEIGHBOUR, body, at)
            neighbours.append((node, bool(mutual)))
            at += _BEAT_NEIGHBOUR.size
        tags = cls._tags(body, at)
        return cls(
            wall,
            stable,
            root,
            position,
            bool(synced),
            bool(seed),
            serving,
            bool(enabled),
            tuple(neighbours),
            tags,
        )

    @classmethod
    def _tags(cls, body: bytes, at: int) -> tuple[tuple[str, int, int], ...]:
        count = int.from_bytes(cut(body, at, 2), "little")
        if count > bounds.CLUSTER_TAGS:
            raise BadFrame(f"a node with {count} sharing tags")
        at += 2
        found = []
        for _ in range(count):
            epoch, holder, length = unpack(_BEAT_TAG, body, at)
            at += _BEAT_TAG.size
            found.append((text_of(cut(body, at, length)), epoch, holder))
            at += length
        return tuple(found)


class CountsTold(NamedTuple):
    """My counts, absolute: (kind, name, count); the frame's sequence says which are later."""

    counts: tuple[tuple[int, bytes, int], ...]

    def encode(self) -> bytes:
        """The body."""
        pieces = [len(self.counts).to_bytes(2, "little")]
        for kind, name, count in self.counts:
            pieces += [_COUNTS_TOLD_ENTRY.pack(count, kind, len(name)), name]
        return b"".join(pieces)

    @classmethod
    def decode(cls, body: bytes) -> CountsTold:
        """What a body says."""
        number = int.from_bytes(cut(body, 0, 2), "little")
        if number > bounds.COUNTS_PER_FRAME:
            raise BadFrame(f"a frame of {number} counts")
        at = 2
        found = []
        for _ in range(number):
            count, kind, length = unpack(_COUNTS_TOLD_ENTRY, body, at)
            at += _COUNTS_TOLD_ENTRY.size
            found.append((kind, cut(body, at, length), count))
            at += length
        return cls(tuple(found))


def question_of(body: bytes) -> int:
    """The question that SYNC_LATER or SNAPSHOT is about."""
    question: int = unpack(SNAPSHOT_HEAD, body, 0)[0]
    return question


def unpack(form: Struct, body: bytes, at: int) -> tuple[int, ...]:
    """Numbers at `at`; BadFrame when the body ends before them."""
    try:
        return form.unpack_from(body, at)
    except error:
        raise BadFrame(f"a body of {len(body)} bytes that ends too early") from None


def cut(body: bytes, at: int, length: int) -> bytes:
    """So many bytes at `at`; BadFrame when the body ends before."""
    if at + length > len(body):
        raise BadFrame(f"a body of {len(body)} bytes that ends too early")
    return body[at : at + length]


def text_of(name: bytes) -> str:
    """A tag's name; BadFrame when it is not one."""
    if not 0 < len(name) <= bounds.TAG_NAME_BYTES:
        raise BadFrame(f"a sharing tag's name of {len(name)} bytes")
    try:
        return name.decode()
    except UnicodeDecodeError:
        raise BadFrame("a sharing tag's name that is no text") from None
