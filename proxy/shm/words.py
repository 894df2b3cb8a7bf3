"""Little-endian numbers in the bytes of a record."""

from __future__ import annotations

LOW = 0xFFFF_FFFF  # a literal as large would be a Python number when compiled


def blank(size: int) -> bytearray:
    """So many bytes of zero, to be written to."""
    return bytearray(size)


def drafted(record: bytes) -> bytearray:
    """A record as it may be changed."""
    return bytearray(record)


def fixed(draft: bytearray) -> bytes:
    """A record that has been changed, as it stays."""
    return bytes(draft)


def get_u16(p: bytes | bytearray, at: int) -> int:
    """An unsigned 16-bit number at `at`."""
    return p[at] | p[at + 1] << 8


def get_u32(p: bytes | bytearray, at: int) -> int:
    """An unsigned 32-bit number at `at`."""
    value = p[at + 3]
    value = value << 8 | p[at + 2]
    value = value << 8 | p[at + 1]
    return value << 8 | p[at]


def get_u64(p: bytes | bytearray, at: int) -> int:
    """An unsigned 64-bit number at `at`."""
    high = get_u32(p, at + 4)
    return high << 32 | get_u32(p, at)


def put_u16(p: bytearray, at: int, value: int) -> None:
    """Store an unsigned 16-bit number."""
    p[at] = value & 0xFF
    p[at + 1] = value >> 8 & 0xFF


def put_u32(p: bytearray, at: int, value: int) -> None:
    """Store an unsigned 32-bit number."""
    p[at] = value & 0xFF
    p[at + 1] = value >> 8 & 0xFF
    p[at + 2] = value >> 16 & 0xFF
    p[at + 3] = value >> 24 & 0xFF


def put_u64(p: bytearray, at: int, value: int) -> None:
    """Store an unsigned 64-bit number."""
    put_u32(p, at, value & LOW)
    put_u32(p, at + 4, value >> 32)


def warm(p: bytes | bytearray, at: int) -> None:
    """Ask the machine for the memory at `at`, which is needed soon."""
