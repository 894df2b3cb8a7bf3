"""Frames between nodes: a header of 44 bytes, a body, and the records inside (docs/replication.md).

All numbers are little-endian. Whatever is wrong with a frame is found here, before anybody acts
on it; what follows the fields we know is skipped, so that two versions can share a cluster.
"""

from __future__ import annotations

from struct import Struct
from zlib import crc32

import cython

from proxy.errors import BadFrame
from proxy.limits import bounds
from proxy.sip.draft import Draft

if not cython.compiled:
    from proxy.shm.words import get_u32, put_u16, put_u32

MAGIC = 0x5053  # "SP"
VERSION = 1
HEADER_BYTES = 44
RECORD_HEAD = 12
_RECORD_ROOM = bytes(RECORD_HEAD)
Record = tuple[int, bytes, bytes]  # table, key, body
HEADER = Struct("<HBBHHHHBBHIQQII")  # the last two: sums of the body and of what stands before

# Compiled, these are C numbers.
MOST_RECORDS = bounds.FRAME_RECORDS
LONGEST_KEY = bounds.REPLICA_KEY_BYTES
LONGEST_BODY = bounds.REPLICA_BODY_BYTES


class Frame:
    """A frame as it was read: who says it, to whom, in which incarnation, and what."""

    __slots__ = ("body", "cluster", "destination", "epoch", "hops", "kind", "sender", "sequence")

    def __init__(
        self,
        kind: int,
        cluster: int,
        sender: int,
        destination: int,
        epoch: int,
        sequence: int,
        body: bytes = b"",
        hops: int = 0,
    ) -> None:
        self.kind = kind
        self.cluster = cluster
        self.sender = sender
        self.destination = destination
        self.epoch = epoch
        self.sequence = sequence
        self.body = body
        self.hops = hops

    def __repr__(self) -> str:
        way = f"{self.sender}>{self.destination}"
        return f"<Frame {self.kind} {way} {self.epoch}.{self.sequence} {len(self.body)} bytes>"


def encode(frame: Frame, body_sum: int = -1) -> bytes:
    """The bytes of a frame; `body_sum` is the body's checksum when it is known already."""
    head = HEADER.pack(
        MAGIC,
        VERSION,
        frame.kind,
        HEADER_BYTES,
        frame.cluster,
        frame.sender,
        frame.destination,
        frame.hops,
        0,
        0,
        len(frame.body),
        frame.epoch,
        frame.sequence,
        crc32(frame.body) if body_sum < 0 else body_sum,
        0,
    )[: HEADER_BYTES - 4]
    return b"".join((head, crc32(head).to_bytes(4, "little"), frame.body))


def decode(data: bytes) -> Frame:
    """The frame in these bytes; BadFrame when it is none."""
    size = len(data)
    if not HEADER_BYTES <= size <= bounds.FRAME_BYTES:
        raise BadFrame(f"a frame of {size} bytes")
    fields = HEADER.unpack_from(data)
    magic, version, kind, header, cluster, sender, destination, hops, _, _ = fields[:10]
    length, epoch, sequence, body_sum, head_sum = fields[10:]
    if magic != MAGIC:
        raise BadFrame("not a frame of this protocol")
    if version < VERSION or not HEADER_BYTES <= header <= size or header + length != size:
        raise BadFrame(f"a frame of version {version}, {header} and {length} bytes")
    if crc32(data[: HEADER_BYTES - 4]) != head_sum:
        raise BadFrame("the checksum of a frame's header is wrong")
    body = data[header:]
    if crc32(body) != body_sum:
        raise BadFrame("the checksum of a frame's body is wrong")
    if sender == 0 or epoch == 0:
        raise BadFrame("a frame without a sender")
    return Frame(kind, cluster, sender, destination, epoch, sequence, body, hops)


def encode_records(head: bytes, records: list[Record]) -> bytes:
    """A body: `head`, how many records, and each (table, key, body)."""
    draft = Draft()
    draft.add(head)
    draft.add(len(records).to_bytes(4, "little"))
    for table, key, body in records:
        add_record(draft, table, key, body)
    return draft.take()


def add_record(to: Draft, table: int, key: bytes, body: bytes) -> int:
    """Write one record behind others."""
    at = to.used
    to.add(_RECORD_ROOM)
    p = to.room
    put_u32(p, at, RECORD_HEAD + len(key) + len(body))
    p[at + 4] = table
    put_u16(p, at + 6, len(key))
    put_u32(p, at + 8, len(body))
    to.add(key)
    to.add(body)
    return 0


def decode_records(data: bytes, at: int) -> list[Record]:
    """The records of a body from `at` on; BadFrame unless every length fits."""
    p = data
    size = len(data)
    if at + 4 > size:
        raise BadFrame("a frame of records ends before their number")
    count = get_u32(p, at)
    at += 4
    if count > MOST_RECORDS:
        raise BadFrame(f"a frame of {count} records")
    found: list[Record] = []
    for _ in range(count):
        if at + RECORD_HEAD > size:
            raise BadFrame("a record that begins behind the end of its frame")
        length = get_u32(p, at)
        key_size = p[at + 6] | p[at + 7] << 8
        body_size = get_u32(p, at + 8)
        if key_size > LONGEST_KEY or body_size > LONGEST_BODY:
            raise BadFrame(f"a record with a key of {key_size} and a body of {body_size} bytes")
        if RECORD_HEAD + key_size + body_size > length or length > size - at:
            raise BadFrame(f"a record of {length} bytes that does not fit")
        key_at = at + RECORD_HEAD
        body_at = key_at + key_size
        found.append((p[at + 4], data[key_at:body_at], data[body_at : body_at + body_size]))
        at += length
    return found
