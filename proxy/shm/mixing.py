"""Hashes that are the same on every node and in every process: no seed, no secret."""

from __future__ import annotations

import cython

if not cython.compiled:
    from proxy.shm.words import get_u64

# Compiled, a literal of more than 31 bits would be a Python number.
_ALL = 0xFFFFFFFFFFFFFFFF
_OFFSET = 0xCBF29CE484222325
_PRIME = 0x100000001B3
_FIRST = 0xFF51AFD7ED558CCD
_SECOND = 0xC4CEB9FE1A85EC53


def mix(value: int) -> int:
    """Every bit of a 64-bit number spread over all of it (MurmurHash3's end, a bijection)."""
    value ^= value >> 33
    value = value * _FIRST & _ALL
    value ^= value >> 33
    value = value * _SECOND & _ALL
    return value ^ value >> 33


def fnv1a(data: bytes, start: int) -> int:
    """FNV-1a of 64 bits, its first value changed by `start`."""
    return fnv1a_part(data, 0, len(data), start)


def fnv1a_part(p: bytes, at: int, end: int, start: int) -> int:
    """The same of some bytes within others."""
    value = _OFFSET ^ start
    while at < end:
        value = (value ^ p[at]) * _PRIME & _ALL
        at += 1
    return value


def hash_words(data: bytes, at: int) -> int:
    """A hash of the bytes from `at` on, taken eight at a time: of long ones, where FNV is slow."""
    p = data
    end = len(data)
    value = _OFFSET ^ (end - at)
    while at + 8 <= end:
        value = (value ^ get_u64(p, at)) * _FIRST & _ALL
        value ^= value >> 32
        at += 8
    word = 0
    while at < end:
        end -= 1
        word = word << 8 | p[end]
    return mix(value ^ word)
