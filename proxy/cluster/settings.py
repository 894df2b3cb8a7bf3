"""What one cluster is told: who we are in it, who else is, what it keeps equal, and its pace."""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field

from proxy.limits import bounds

MARK_BYTES = 16
_MARK_LABEL = b"sipherd: which secret a node has"


@dataclass(frozen=True, slots=True)
class Pace:
    """Times of the protocol, in milliseconds unless the name says otherwise."""

    beat: int = 250  # between two signs of life
    silence: int = 1_500  # without one, a node is down
    hello: int = 500  # until a question is asked again
    resend: int = 400  # without an acknowledgement, what is under way is sent again
    resend_most: int = 2_000  # the longest such wait, each is twice the last
    sync_silence: int = 5_000  # a snapshot without progress is given up
    repair: int = 30_000  # between two comparisons with a peer whose sums differ
    repair_soon: int = 5_000  # the first comparison after a link came back
    seed_wait: int = 5_000  # how long a seed waits for a donor (seed_fallback_interval)
    counts: int = 200  # between two frames of counts (repl_prof_update)
    counts_refresh: int = 5_000  # between two frames of all counts
    counts_expire: int = 10_000  # a peer's count that is not repeated (repl_prof_timeout)
    grace_s: int = 5  # a replica outlives its expiry by this and twice the clocks' difference
    tombstone_least_s: int = 600  # a tombstone lives at least this long
    longest_life_s: int = 7_200  # of a record without a new version; 0 = for ever


@dataclass(frozen=True, slots=True)
class Settings:
    """One cluster on one node."""

    node: int
    peers: tuple[int, ...] = ()
    tables: tuple[int, ...] = ()
    cluster: int = 1
    seed: bool = False
    tags: tuple[str, ...] = ()
    pace: Pace = field(default_factory=Pace)
    rerouting: bool = True  # over a third node when the direct way is broken (enable_rerouting)
    max_lead_ms: int = 60_000  # how far a peer's clock may be ahead
    window: int = 32  # frames of changes under way to one peer
    snapshot_window: int = 16  # frames of a snapshot: live changes come first
    backlog: int = bounds.BACKLOG_NOTES
    mark: bytes = b""  # of our secret, secret_mark(); empty: peers are not asked for theirs
    names: dict[int, str] = field(default_factory=dict)  # of tables, as clusterer_list_cap says

    def mistakes(self) -> list[str]:
        """What is wrong with it, one sentence each."""
        wrong = []
        if not all(0 < node <= bounds.NODE_ID for node in (self.node, *self.peers)):
            wrong.append(f"cluster {self.cluster}: a node id is from 1 to {bounds.NODE_ID}")
        if self.node in self.peers:
            wrong.append(f"cluster {self.cluster}: node {self.node} is its own peer")
        if len(set(self.peers)) < len(self.peers) or len(self.peers) >= bounds.CLUSTER_NODES:
            wrong.append(
                f"cluster {self.cluster}: at most {bounds.CLUSTER_NODES - 1} peers, each once"
            )
        if len(self.tags) > bounds.CLUSTER_TAGS:
            wrong.append(f"cluster {self.cluster}: more than {bounds.CLUSTER_TAGS} sharing tags")
        if any(not 0 < len(tag.encode()) <= bounds.TAG_NAME_BYTES for tag in self.tags):
            wrong.append(f"cluster {self.cluster}: a sharing tag's name is too long or empty")
        return wrong


def secret_mark(secret: bytes, cluster: int) -> bytes:
    """What tells a peer whether its secret is ours, and nobody what it is."""
    told = _MARK_LABEL + cluster.to_bytes(2, "little")
    return hmac.digest(secret, told, "sha256")[:MARK_BYTES]
