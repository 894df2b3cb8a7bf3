"""Frames as a later minor version may write them: with more in them, and of new kinds."""

from __future__ import annotations

import struct
from zlib import crc32

from proxy.cluster.frames import HEADER, HEADER_BYTES, VERSION
from proxy.cluster.messages import DATA_HEAD, Kind

MORE_HEADER = b"later fields"
MORE = b"and what they mean, of any length"
LATER_KIND = 99


def longer(data: bytes) -> bytes:
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


def unheard_of(data: bytes) -> bytes:
    """A frame of a kind that nobody knows yet."""
    fields = list(HEADER.unpack_from(data))
    fields[2] = LATER_KIND
    head = HEADER.pack(*fields[:10], 0, *fields[11:13], 0, 0)[: HEADER_BYTES - 4]
    return head + crc32(head).to_bytes(4, "little")


def later(data: bytes) -> list[bytes]:
    """What a later version sends in the place of this frame."""
    return [unheard_of(data), longer(data)]
