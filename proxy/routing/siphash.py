"""SipHash (Aumasson, Bernstein 2012) over several texts, none of which is copied to be hashed.

Each text is taken in with its length's lowest byte behind it, as SipHash ends what it hashes. Where
that leaves open which text a byte belongs to, whoever hashes takes in the lengths first.
"""

from __future__ import annotations

import cython

if not cython.compiled:
    from proxy.sip.grammar import word_at

    def last_word(p: bytes, start: int, size: int) -> int:
        """What is left of p from `start` on, and in the highest byte how much was hashed."""
        return int.from_bytes(p[start:size], "little") | ((size + 8) & 0xFF) << 56

    def wrapped(number: int) -> int:
        """The lowest 64 bits: all that a C number has."""
        return number & 0xFFFFFFFFFFFFFFFF

    def rotated(number: int, bits: int) -> int:
        """A 64-bit number rotated to the left."""
        return wrapped(number << bits) | number >> (64 - bits)

    def mix(v: list[int]) -> None:
        """SipRound."""
        v[0] = wrapped(v[0] + v[1])
        v[1] = rotated(v[1], 13) ^ v[0]
        v[0] = rotated(v[0], 32)
        v[2] = wrapped(v[2] + v[3])
        v[3] = rotated(v[3], 16) ^ v[2]
        v[0] = wrapped(v[0] + v[3])
        v[3] = rotated(v[3], 21) ^ v[0]
        v[2] = wrapped(v[2] + v[1])
        v[1] = rotated(v[1], 17) ^ v[2]
        v[2] = rotated(v[2], 32)

    def take_in(v: list[int], word: int, lean: bool) -> None:
        """Eight more bytes."""
        v[3] ^= word
        mix(v)
        if not lean:
            mix(v)
        v[0] ^= word


# Compiled, a literal of more than 31 bits would be a Python number.
SIP0 = 0x736F6D6570736575
SIP1 = 0x646F72616E646F6D
SIP2 = 0x6C7967656E657261
SIP3 = 0x7465646279746573


class SipHash:
    """A hash in the making; a module keeps one and uses it again."""

    def __init__(self) -> None:
        if not cython.compiled:
            self.state = [0, 0, 0, 0]
        self.begin(0, 0, False)

    def begin(self, key0: int, key1: int, lean: bool) -> int:
        """A new one: SipHash-2-4, or (`lean`) 1-3, for what is not to prove anything to anybody."""
        v = self.state
        v[0] = key0 ^ SIP0
        v[1] = key1 ^ SIP1
        v[2] = key0 ^ SIP2
        v[3] = key1 ^ SIP3
        self.lean = lean
        return 0

    def add_number(self, number: int) -> int:
        """A 64-bit number."""
        take_in(self.state, number, self.lean)
        return 0

    def add(self, text: bytes) -> int:
        """A text."""
        state = self.state
        v = [state[0], state[1], state[2], state[3]]
        p = text
        size = len(text)
        whole = size & -8
        lean = self.lean
        for at in range(0, whole, 8):
            take_in(v, word_at(p, at), lean)
        take_in(v, last_word(p, whole, size), lean)
        state[0] = v[0]
        state[1] = v[1]
        state[2] = v[2]
        state[3] = v[3]
        return 0

    def end(self) -> int:
        """The hash."""
        v = self.state
        v[2] ^= 0xFF
        mix(v)
        mix(v)
        mix(v)
        if not self.lean:
            mix(v)
        return v[0] ^ v[1] ^ v[2] ^ v[3]


_hash = SipHash()


def siphash(key0: int, key1: int, number: int, data: bytes) -> int:
    """SipHash-2-4 of `number` as eight bytes, the lowest first, and `data` behind them."""
    _hash.begin(key0, key1, False)
    _hash.add_number(number)
    _hash.add(data)
    return _hash.end()
