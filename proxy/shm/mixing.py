"""Hashes that are the same on every node and in every process: no seed, no secret."""

from __future__ import annotations

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
    p = data
    value = _OFFSET ^ start
    for index in range(len(data)):
        value = (value ^ p[index]) * _PRIME & _ALL
    return value
