"""Branches, route cookies and tags: everything we sign with the cluster's secret (R4).

A forwarded branch is

    z9hG4bK <mac: 16 hex> <loop: 8 hex> <target: 8 hex>

where `loop` hashes what decides the routing of the request (RFC 5393 §4.2), `target` the target
the branch goes to, and `mac` everything that makes the incoming request this one: its branch,
Call-ID, CSeq number, the host it came from, and the two other parts. The same request forwarded
again, by a new worker or by another node, gets the same branch; a response whose mac is right has
passed through us, and goes back to that host and to no other.
"""

from __future__ import annotations

import cython

from proxy.constants import BRANCH_BYTES, BRANCH_COOKIE
from proxy.sip.draft import Draft
from proxy.sip.message import Message

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

    def two_rounds(v: list[int]) -> None:
        """SipRound, twice."""
        for _ in range(2):
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

    def take_in(v: list[int], word: int) -> None:
        """Eight more bytes."""
        v[3] ^= word
        two_rounds(v)
        v[0] ^= word


# Compiled, a literal of more than 31 bits would be a Python number, and the mask a slow one.
LOW = 0xFFFFFFFF
SIP0 = 0x736F6D6570736575
SIP1 = 0x646F72616E646F6D
SIP2 = 0x6C7967656E657261
SIP3 = 0x7465646279746573
HEX_PAIRS = b"".join(b"%02x" % value for value in range(256))
# What a signature is for: the first eight bytes that are signed (a CSeq number is below 2**31).
ROUTE_COOKIE = 1 << 32
OWN_TAG = 2 << 32
OWN_BRANCH = 3 << 32
COOKIE = BRANCH_COOKIE
_draft = Draft()


def siphash(key0: int, key1: int, number: int, data: bytes) -> int:
    """SipHash-2-4 (Aumasson, Bernstein 2012) under a 128-bit key, as a 64-bit number.

    What is hashed is `number` as eight bytes, the lowest first, and `data` behind them.
    """
    v = [key0 ^ SIP0, key1 ^ SIP1, key0 ^ SIP2, key1 ^ SIP3]
    p = data
    size = len(data)
    whole = size - size % 8
    take_in(v, number)
    for at in range(0, whole, 8):
        take_in(v, word_at(p, at))
    take_in(v, last_word(p, whole, size))
    v[2] ^= 0xFF
    two_rounds(v)
    two_rounds(v)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def hex_digits(value: int, width: int) -> bytes:
    """The lowest `width` hex digits of a number; `width` is even and at most 16."""
    if not cython.compiled:
        out = bytearray(16)
    pairs = HEX_PAIRS
    i = width
    while i > 0:
        pair = (value & 255) * 2
        i -= 2
        out[i] = pairs[pair]
        out[i + 1] = pairs[pair + 1]
        value >>= 8
    text = out[:width]
    return text if cython.compiled else bytes(text)  # type: ignore[return-value]


class Signer:
    """Makes and checks branches, route cookies and tags under one secret of 16 bytes or more."""

    def __init__(self, secret: bytes) -> None:
        if len(secret) < 16:
            raise ValueError("the secret has to have at least 16 bytes")
        self.key0 = siphash(0x627A6E6368, 1, 0, secret)
        self.key1 = siphash(0x627A6E6368, 2, 0, secret)

    def loop_hash(self, request: Message, request_uri: bytes, routes: bytes) -> int:
        """32 bits over what the routing decision depends on (RFC 5393 §4.2.1).

        Not over the To tag: the ACK of a failed INVITE has one and must get its INVITE's branch.
        """
        draft = _draft
        draft.begin()
        draft.add(request_uri)
        draft.add(b"\0")
        draft.add(routes)
        draft.add(b"\0")
        draft.add(request.from_tag)
        draft.add(b"\0")
        draft.add(request.call_id)
        return siphash(self.key0, self.key1, request.cseq, draft.take()) & LOW

    def branch(self, request: Message, origin: bytes, loop: int, target: bytes) -> bytes:
        """The branch of `request`, from host `origin`, towards `target`.

        ACK and CANCEL get that of their INVITE.
        """
        suffix = (loop << 32) | (siphash(self.key1, self.key0, 0, target) & LOW)
        mac = self._mac(request.branch, origin, request, suffix)
        draft = _draft
        draft.begin()
        draft.add(COOKIE)
        draft.add(hex_digits(mac, 16))
        draft.add(hex_digits(suffix, 16))
        return draft.take()

    def is_ours(self, branch: bytes, next_branch: bytes, origin: bytes, response: Message) -> bool:
        """Whether we made `branch` for the request that came from `origin` with `next_branch`."""
        if len(branch) != BRANCH_BYTES:
            return False
        try:
            suffix = int(branch[23:], 16)
        except ValueError:
            return False
        return branch[7:23] == hex_digits(self._mac(next_branch, origin, response, suffix), 16)

    def _mac(self, branch: bytes, origin: bytes, message: Message, suffix: int) -> int:
        inner = siphash(self.key1, self.key0, message.cseq, message.call_id)
        draft = _draft
        draft.begin()
        draft.add(branch)
        draft.add(b"\0")
        draft.add(origin)
        return siphash(self.key0 ^ inner, self.key1, suffix, draft.take())

    def route_cookie(self, call_id: bytes, caller_tag: bytes, did: bytes = b"") -> bytes:
        """What our Record-Route carries, so that only members of the dialog may use it.

        It vouches for the did beside it as well.
        """
        draft = _draft
        draft.begin()
        draft.add(call_id)
        draft.add(b"\0")
        draft.add(caller_tag)
        if did:
            draft.add(b"\0")
            draft.add(did)
        return hex_digits(siphash(self.key1, self.key0, ROUTE_COOKIE, draft.take()), 16)

    def own_tag(self, request: Message) -> bytes:
        """The To tag of an answer we gave without keeping state; its ACK brings it back."""
        draft = _draft
        draft.begin()
        draft.add(request.call_id)
        draft.add(b"\0")
        draft.add(request.from_tag)
        draft.add(b"\0")
        draft.add(request.branch)
        return hex_digits(siphash(self.key0, self.key1, OWN_TAG, draft.take()), 16)

    def own_branch(self, request: bytes) -> bytes:
        """The branch of a request of our own, `request` being what makes it this one.

        Whoever sends it again after a death sends what is to its receiver a retransmission.
        """
        return COOKIE + hex_digits(siphash(self.key1, self.key0, OWN_BRANCH, request), 16)
