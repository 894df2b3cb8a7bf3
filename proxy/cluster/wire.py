"""What leaves a cluster's brain: frames with their next hop and channel, and news for the log."""

from __future__ import annotations

from collections import Counter
from zlib import crc32

from proxy.cluster.frames import Frame, encode
from proxy.cluster.link import Link
from proxy.cluster.messages import Kind
from proxy.cluster.settings import Settings

DATA = 0  # channels: the peers' data socket, and the one where nothing can be in a beat's way
BEAT = 1
EVENTS_KEPT = 256


class Wire:
    """The outbox of one cluster."""

    def __init__(self, settings: Settings, epoch: int) -> None:
        self.settings = settings
        self.epoch = epoch
        self.outbox: list[tuple[int, int, bytes]] = []  # next hop, channel, frame
        self.events: list[tuple[str, str]] = []
        self.tallies: Counter[str] = Counter()

    def send(self, link: Link, kind: Kind, sequence: int, body: bytes, body_sum: int = -1) -> None:
        """A frame to a peer over the way that works now; without one it is not made."""
        if link.next_hop:
            self._put(link.next_hop, DATA, kind, link.peer, sequence, body, body_sum)

    def beat(self, peers: tuple[int, ...], sequence: int, body: bytes) -> None:
        """A sign of life to every peer, over no other node."""
        body_sum = crc32(body)
        for peer in peers:
            self._put(peer, BEAT, Kind.BEAT, peer, sequence, body, body_sum)

    def leave(self, peers: tuple[int, ...]) -> None:
        """The last word."""
        for peer in peers:
            self._put(peer, BEAT, Kind.BYE, peer, 0, b"", -1)

    def relay(self, frame: Frame) -> None:
        """A frame between two others that have no way to each other."""
        frame.hops += 1
        self.outbox.append((frame.destination, DATA, encode(frame)))
        self.tallies["relayed"] += 1

    def _put(
        self,
        hop: int,
        channel: int,
        kind: Kind,
        peer: int,
        sequence: int,
        body: bytes,
        body_sum: int,
    ) -> None:
        settings = self.settings
        frame = Frame(kind, settings.cluster, settings.node, peer, self.epoch, sequence, body)
        self.outbox.append((hop, channel, encode(frame, body_sum)))

    def note(self, event: str, detail: str) -> None:
        """Something an operator wants to know."""
        if len(self.events) < EVENTS_KEPT:
            self.events.append((event, detail))
