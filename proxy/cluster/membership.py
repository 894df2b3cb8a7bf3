"""Who is there: heard or not, hearing us or not, and over whom each can be reached.

Each node says in its beats whom it hears. A way is usable when both ends hear each other, so that a
link that works in one direction only is not taken for one that works.
"""

from __future__ import annotations

from dataclasses import dataclass

from proxy.cluster.messages import Beat

UNREACHABLE = 0
NEVER = -(10**12)
MENDED_LEAD_MS = 3_600_000  # what a clock that is right again may have been ahead
PRIORITY = 50  # of a node of which nothing else is said, as in OpenSIPS' table


@dataclass(slots=True)
class Peer:
    """What a node's beats said last."""

    node: int
    epoch: int = 0
    heard_at: int = NEVER
    beat: Beat | None = None
    offset_ms: int = 0  # its clock minus ours, with the way it took in it


class Membership:
    """The peers of one cluster, as this node sees them."""

    def __init__(self, node: int, peers: tuple[int, ...], silence_ms: int, rerouting: bool) -> None:
        self.node = node
        self.silence_ms = silence_ms
        self.rerouting = rerouting
        self.peers: dict[int, Peer] = {}
        self.set_peers(peers, {})

    def set_peers(self, peers: tuple[int, ...], priorities: dict[int, int]) -> None:
        """Who belongs to the cluster; of equal ways the one over the lower priority is taken."""
        known = self.peers
        order = sorted(peers, key=lambda peer: (priorities.get(peer, PRIORITY), peer))
        self.peers = {peer: known.get(peer) or Peer(peer) for peer in order}

    def hear(self, node: int, epoch: int, beat: Beat, now: int, wall: int) -> None:
        """A beat of a peer, from it directly."""
        peer = self.peers[node]
        peer.epoch = epoch
        peer.heard_at = now
        peer.beat = beat
        peer.offset_ms = beat.wall_ms - wall

    def forget(self, node: int) -> None:
        """A peer has said that it leaves."""
        self.peers[node].heard_at = NEVER

    def hears(self, node: int, now: int) -> bool:
        """Whether a peer was heard lately."""
        peer = self.peers.get(node)
        return peer is not None and now - peer.heard_at < self.silence_ms

    def is_mutual(self, node: int, now: int) -> bool:
        """Whether it and we hear each other."""
        beat = self.peers[node].beat if self.hears(node, now) else None
        return beat is not None and any(heard == self.node for heard, _ in beat.neighbours)

    def neighbours(self, now: int) -> tuple[tuple[int, bool], ...]:
        """Whom we hear, and whether they hear us: what our beats say."""
        return tuple((n, self.is_mutual(n, now)) for n in self.peers if self.hears(n, now))

    def next_hop(self, node: int, now: int) -> int:
        """Whom to give a frame for `node`: itself, the lowest node that reaches it, or nobody."""
        if node not in self.peers:
            return UNREACHABLE
        if self.is_mutual(node, now):
            return node
        if not self.rerouting:
            return UNREACHABLE
        for other, peer in self.peers.items():
            if other != node and self.is_mutual(other, now) and _reaches(peer.beat, node):
                return other
        return UNREACHABLE

    def is_enabled(self, node: int) -> bool:
        """Whether a peer takes part, as far as it has told."""
        beat = self.peers[node].beat
        return beat is None or beat.enabled

    def lead_ms(self, node: int, most_ms: int) -> int:
        """How far ahead of our clock what a peer tells may be, whose clock may lead by `most_ms`.

        While its clock is right, what it made when that was wrong is taken: it never gets better,
        and nothing that comes after it could be taken either.
        """
        peer = self.peers[node]
        is_right = peer.beat is not None and peer.offset_ms <= most_ms
        return max(most_ms, MENDED_LEAD_MS) if is_right else most_ms

    def worst_offset_ms(self, node: int) -> int:
        """How far a peer's clock and ours are apart; of the farthest when it is none of ours."""
        peer = self.peers.get(node)
        if peer is not None:
            return abs(peer.offset_ms)
        return max((abs(each.offset_ms) for each in self.peers.values()), default=0)


def _reaches(beat: Beat | None, node: int) -> bool:
    return beat is not None and any(n == node and mutual for n, mutual in beat.neighbours)
