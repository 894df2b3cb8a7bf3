"""Frames say what was said, or are refused whole."""

from __future__ import annotations

from struct import pack_into
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.cluster.frames import (
    HEADER_BYTES,
    Frame,
    decode,
    decode_records,
    encode,
    encode_records,
)
from proxy.errors import BadFrame
from proxy.limits import bounds

RECORD_HEAD = 12  # docs/replication.md: bytes of a record before its key
FIELDS = ("kind", "cluster", "sender", "destination", "epoch", "sequence", "body", "hops")
RECORDS = st.lists(
    st.tuples(st.integers(0, 255), st.binary(max_size=40), st.binary(max_size=200)), max_size=20
)


def values(frame: Frame) -> list[object]:
    return [getattr(frame, name) for name in FIELDS]


def sealed(data: bytearray) -> bytes:
    """With a header's checksum that is right again."""
    pack_into("<I", data, 40, crc32(data[:40]))
    return bytes(data)


@given(
    kind=st.integers(0, 255),
    ids=st.tuples(st.integers(0, 65535), st.integers(1, 65535), st.integers(0, 65535)),
    epoch=st.integers(1, 2**64 - 1),
    sequence=st.integers(0, 2**64 - 1),
    body=st.binary(max_size=300),
)
def test_a_frame_comes_back(
    kind: int, ids: tuple[int, int, int], epoch: int, sequence: int, body: bytes
) -> None:
    frame = Frame(kind, *ids, epoch, sequence, body, 1)
    assert values(decode(encode(frame))) == values(frame)
    assert encode(frame, crc32(body)) == encode(frame)


@given(place=st.integers(0, HEADER_BYTES + 49), change=st.integers(1, 255))
def test_one_wrong_byte_is_noticed(place: int, change: int) -> None:
    data = bytearray(encode(Frame(3, 1, 1, 2, 9, 17, b"x" * 50)))
    data[place] ^= change
    with pytest.raises(BadFrame):
        decode(bytes(data))


@given(st.binary(max_size=200))
def test_noise_is_refused(data: bytes) -> None:
    with pytest.raises(BadFrame):
        decode(data)


def test_a_frame_of_another_length_is_refused() -> None:
    data = encode(Frame(3, 1, 1, 2, 9, 17, b"body"))
    for wrong in (data[:-1], data + b"x", data[:HEADER_BYTES], data[:10], b""):
        with pytest.raises(BadFrame):
            decode(wrong)


def test_a_frame_longer_than_the_bound_is_refused() -> None:
    most = bounds.FRAME_BYTES - HEADER_BYTES
    assert len(decode(encode(Frame(3, 1, 1, 2, 9, 17, bytes(most)))).body) == most
    with pytest.raises(BadFrame, match="a frame of"):
        decode(encode(Frame(3, 1, 1, 2, 9, 17, bytes(most + 1))))


def test_a_longer_header_of_a_later_version_is_skipped() -> None:
    data = bytearray(encode(Frame(3, 1, 1, 2, 9, 17, b"body")))
    data[2] = 2
    data[4] = HEADER_BYTES + 8
    later = sealed(data)
    assert decode(later[:HEADER_BYTES] + b"12345678" + later[HEADER_BYTES:]).body == b"body"


@pytest.mark.parametrize(("sender", "epoch"), [(0, 9), (1, 0)])
def test_a_frame_of_nobody_is_refused(sender: int, epoch: int) -> None:
    with pytest.raises(BadFrame, match="without a sender"):
        decode(encode(Frame(3, 1, sender, 2, epoch, 17)))


@given(head=st.binary(max_size=16), records=RECORDS)
def test_records_come_back(head: bytes, records: list[tuple[int, bytes, bytes]]) -> None:
    assert decode_records(encode_records(head, records), len(head)) == records


@given(records=RECORDS.filter(len), cut=st.integers(1, 300))
def test_records_that_end_early_are_refused(
    records: list[tuple[int, bytes, bytes]], cut: int
) -> None:
    data = encode_records(b"", records)
    with pytest.raises(BadFrame):
        decode_records(data[: max(0, len(data) - cut)], 0)


def test_fields_behind_a_record_are_skipped() -> None:
    data = bytearray(encode_records(b"", [(1, b"key", b"body")]))
    data[4] += 5  # the record's length
    more = bytes(data) + b"later"
    assert decode_records(more, 0) == [(1, b"key", b"body")]


@pytest.mark.parametrize(
    ("count", "key", "body"),
    [
        (bounds.FRAME_RECORDS + 1, 0, 0),
        (1, bounds.REPLICA_KEY_BYTES + 1, 0),
        (1, 0, bounds.REPLICA_BODY_BYTES + 1),
        (0xFFFFFFFF, 0, 0),
    ],
)
def test_more_than_the_bounds_is_refused(count: int, key: int, body: int) -> None:
    data = bytearray(4 + RECORD_HEAD)
    pack_into("<IIBBHI", data, 0, count, RECORD_HEAD + key + body, 1, 0, key, body)
    with pytest.raises(BadFrame):
        decode_records(bytes(data) + bytes(key + body), 0)


def test_as_much_as_the_bounds_is_read() -> None:
    many = [(1, b"", b"")] * bounds.FRAME_RECORDS
    large = [(1, bytes(bounds.REPLICA_KEY_BYTES), bytes(bounds.REPLICA_BODY_BYTES))]
    for records in (many, large):
        assert decode_records(encode_records(b"", records), 0) == records


@pytest.mark.parametrize("length", [0, RECORD_HEAD - 1, 0xFFFFFFFF, RECORD_HEAD + 6])
def test_a_record_whose_length_is_a_lie_is_refused(length: int) -> None:
    data = bytearray(encode_records(b"", [(1, b"key", b"body")]))
    pack_into("<I", data, 4, length)
    with pytest.raises(BadFrame):
        decode_records(bytes(data), 0)
