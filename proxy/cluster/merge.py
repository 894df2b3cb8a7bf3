"""Which of two records wins, for tables whose records change as a whole (R11).

A body is 16 bytes and the payload: u64 version, u16 origin node, u8 flags, u8 zero, u32 expires in
seconds (0 = never). Of two, the one with the higher version wins, then that of the higher origin,
then the tombstone, then the higher bytes: the same winner on every node, in whatever order they
arrive. `proxy/registrar/replica.py` does the same for each binding of an AoR.
"""

from __future__ import annotations

from struct import Struct
from zlib import crc32

from proxy.cluster.digests import part_stamp
from proxy.cluster.form import Form

HEAD = Struct("<QHBBI")
HEAD_BYTES = 16
TOMBSTONE = 1


def make(version: int, origin: int, payload: bytes, expires: int = 0) -> bytes:
    """The body of a live record."""
    return HEAD.pack(version, origin, 0, 0, expires) + payload


def tombstone(version: int, origin: int) -> bytes:
    """The body of a record that was removed."""
    return HEAD.pack(version, origin, TOMBSTONE, 0, 0)


def payload_of(body: bytes) -> bytes | None:
    """What the table holds for it, None when it was removed."""
    return None if body[10] & TOMBSTONE else body[HEAD_BYTES:]


class WholeForm(Form):
    """How records that are one piece are read and merged."""

    def sound(self, body: bytes) -> bool:
        """Whether these bytes can be a body."""
        if len(body) < HEAD_BYTES:
            return False
        version, origin, flags, _, _ = HEAD.unpack_from(body)
        return version > 0 and origin > 0 and (not flags & TOMBSTONE or len(body) == HEAD_BYTES)

    def newest(self, body: bytes) -> int:
        """The version."""
        version: int = HEAD.unpack_from(body)[0]
        return version

    def look(self, body: bytes) -> int:
        """What is live in it, and what is dead."""
        version, origin, flags, _, _ = HEAD.unpack_from(body)
        stamp = part_stamp(crc32(body), version, origin)
        self.live, self.dead = (0, stamp) if flags & TOMBSTONE else (stamp, 0)
        return 0

    def merge(self, ours: bytes, theirs: bytes) -> bytes:
        """The winner; `ours` itself when they are equal."""
        return theirs if _rank(theirs) > _rank(ours) else ours

    def prune(self, body: bytes, me: int, now_s: int, grace_s: int, before: int) -> bytes | None:
        """The body, or None when it ran out or is a tombstone that nobody needs."""
        version, origin, flags, _, expires = HEAD.unpack_from(body)
        if flags & TOMBSTONE:
            return None if version < before else body
        if expires and expires + (0 if origin == me else grace_s) <= now_s:
            return None
        return body


def _rank(body: bytes) -> tuple[int, int, int, bytes]:
    version, origin, flags, _, _ = HEAD.unpack_from(body)
    return version, origin, flags & TOMBSTONE, body
