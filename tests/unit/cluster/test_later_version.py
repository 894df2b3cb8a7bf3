"""A rolling upgrade: a node of this version with one of a later, which says more than we know."""

from __future__ import annotations

import struct
from zlib import crc32

import pytest

from proxy.cluster.frames import HEADER, HEADER_BYTES, VERSION, Frame, decode, encode
from proxy.cluster.link import State
from proxy.cluster.messages import DATA_HEAD, Kind
from proxy.errors import BadFrame
from tests.unit.cluster.trio import Trio

MORE_HEADER = b"later fields"
MORE = b"and what they mean, of any length"
LATER_KIND = 99


def later(data: bytes) -> bytes:
    """The frame as the next version writes it: fields more in header, body and records."""
    fields = list(HEADER.unpack_from(data))
    body = data[HEADER_BYTES:]
    if fields[2] in (Kind.DATA, Kind.SNAPSHOT):
        body = body[: DATA_HEAD.size] + longer_records(body, DATA_HEAD.size)
    body += MORE
    fields[1] = VERSION + 1
    fields[3] = HEADER_BYTES + len(MORE_HEADER)
    fields[10] = len(body)
    fields[13] = crc32(body)
    head = HEADER.pack(*fields)[: HEADER_BYTES - 4]
    return head + crc32(head).to_bytes(4, "little") + MORE_HEADER + body


def longer_records(body: bytes, at: int) -> bytes:
    """Records with something behind each that this version skips."""
    (count,) = struct.unpack_from("<I", body, at)
    pieces = [body[at : at + 4]]
    at += 4
    for _ in range(count):
        (length,) = struct.unpack_from("<I", body, at)
        pieces += [struct.pack("<I", length + len(MORE)), body[at + 4 : at + length], MORE]
        at += length
    return b"".join(pieces)


class Upgrade(Trio):
    """Node 1 is of the later version: what it sends is longer, and some of it unheard of."""

    def carry(self, source: int, target: int, data: bytes) -> None:
        if source == 1:
            unknown = list(HEADER.unpack_from(data))
            data = later(data)
            unknown[2] = LATER_KIND
            head = HEADER.pack(*unknown[:10], 0, *unknown[11:13], 0, 0)[: HEADER_BYTES - 4]
            super().carry(source, target, head + crc32(head).to_bytes(4, "little"))
        super().carry(source, target, data)


def test_two_versions_share_a_cluster() -> None:
    pair = Upgrade(2)
    for number in range(300):
        pair.put(1, b"before %d" % number)
        pair.put(2, b"here %d" % number)
    pair.run(8_000)
    for number in range(300):
        pair.put(1, b"live %d" % number)
    pair.put(1, b"before 7", None)
    pair.run(2_000)
    one, two = pair.brains[1], pair.brains[2]
    assert one.replication.digests.root == two.replication.digests.root
    assert two.replication.digests.count == 899
    assert two.links[1].following.state == State.FOLLOWING
    assert two.comparison.is_synced()
    assert not two.wire.tallies["bad_frames"]
    assert two.wire.tallies["unknown_frames"] > 10


def test_what_a_later_version_sends_is_read_as_ours() -> None:
    frame = Frame(Kind.BEAT, 1, 1, 2, 3, 4, b"body")
    read = decode(later(encode(frame)))
    assert (read.kind, read.sender, read.epoch, read.sequence) == (Kind.BEAT, 1, 3, 4)
    assert read.body == b"body" + MORE


def test_an_earlier_version_is_refused() -> None:
    data = bytearray(later(encode(Frame(Kind.BEAT, 1, 1, 2, 3, 4))))
    data[2] = 0
    data[40:44] = crc32(bytes(data[:40])).to_bytes(4, "little")
    with pytest.raises(BadFrame, match="version 0"):
        decode(bytes(data))
