"""Nonces that need no memory: any node with the cluster's secret knows its own and its siblings'.

A nonce is

    <time: 12 hex, milliseconds> <serial: 16 hex> <mac: 16 hex>

where `serial` sets it apart from every other nonce, and `mac` is a keyed hash over the two, the
realm, the algorithm and, if bound to it, the host it was given to. What a nonce has been used for
is in `proxy/shm/nonce_table.py`.
"""

from __future__ import annotations

from proxy.routing.branch import hex_digits
from proxy.routing.siphash import siphash

NONCE_BYTES = 44
FROM_THE_FUTURE_MS = 10_000  # a sibling's clock may lead by so much
_BYTES = NONCE_BYTES
_AHEAD = FROM_THE_FUTURE_MS


class Nonces:
    """Makes nonces for one worker, and knows those of all."""

    def __init__(
        self, secret: bytes, origin: int, *, lifetime_ms: int, binds_source: bool = False
    ) -> None:
        if len(secret) < 16:
            raise ValueError("the secret has to have at least 16 bytes")
        self.key0 = siphash(0x6E6F6E6365, 1, 0, secret)
        self.key1 = siphash(0x6E6F6E6365, 2, 0, secret)
        self.origin = origin  # different for each worker of each node
        self.lifetime_ms = lifetime_ms
        self.binds_source = binds_source
        self._count = 0

    def make(self, now_ms: int, realm: bytes, algorithm: int, source: bytes) -> bytes:
        """A new nonce for one realm and algorithm."""
        self._count += 1
        name = b"%d %d" % (self.origin, self._count)
        head = hex_digits(now_ms, 12) + hex_digits(siphash(self.key0, self.key1, now_ms, name), 16)
        return head + hex_digits(self._mac(head, realm, algorithm, source), 16)

    def issued_ms(self, nonce: bytes, realm: bytes, algorithm: int, source: bytes) -> int:
        """When a nonce of ours was made for this realm, algorithm and source; 0: it was not."""
        if len(nonce) != _BYTES:
            return 0
        head = nonce[:28]
        if nonce[28:] != hex_digits(self._mac(head, realm, algorithm, source), 16):
            return 0
        return int(head[:12], 16)

    def is_fresh(self, issued_ms: int, now_ms: int) -> bool:
        """Whether a nonce of that age may still be used."""
        return issued_ms - _AHEAD <= now_ms < issued_ms + self.lifetime_ms

    def twin(self, data: bytes, hostport: bytes) -> int:
        """What a retransmission shares with its original: a datagram and where it came from.

        Keyed: a hash that anybody can compute, anybody can steer, by a body that nobody reads.
        """
        source = siphash(self.key0, self.key1, 1, hostport)
        return siphash(self.key1, self.key0, source, data)

    def _mac(self, head: bytes, realm: bytes, algorithm: int, source: bytes) -> int:
        bound = head + b"\0" + realm
        if self.binds_source:
            bound += b"\0" + source
        return siphash(self.key1, self.key0, algorithm, bound)


def serial_of(nonce: bytes) -> int:
    """The number under which the uses of a genuine nonce are counted; never 0."""
    serial = int(nonce[12:28], 16)
    return serial if serial else 1
