"""What the clusterer says to the other processes of its node: for whom it acts, and what is old.

Each fact is one word, so a reader sees the old one or the new one, and whoever dies between two
stores leaves two facts that were each true. A tag's word is its epoch and, in the top bit, whether
this node acts. When the clusterer dies its last words go on to hold.
"""

from __future__ import annotations

from collections.abc import Sequence

from proxy.errors import ShmError
from proxy.limits.bounds import CLUSTER_TAGS, CLUSTERS
from proxy.shm import layout
from proxy.shm.arena import Arena

KIND = b"cluster"
LAYOUT = (
    "u64 incarnation, before, settled, grace s, tag changes | 8 x u64 cluster, synced at bit 32"
    " | 64 x u64 tag: active at bit 63, epoch"
)

_INCARNATION = layout.HEADER_BYTES
_BEFORE = layout.HEADER_BYTES + 8
_SETTLED = layout.HEADER_BYTES + 16
_GRACE = layout.HEADER_BYTES + 24
_CHANGES = layout.HEADER_BYTES + 32
_CLUSTERS_AT = layout.HEADER_BYTES + layout.LINE
_TAGS_AT = _CLUSTERS_AT + layout.LINE
_SIZE = _TAGS_AT + 8 * CLUSTER_TAGS
_CLUSTERS = CLUSTERS
_TAGS = CLUSTER_TAGS
_SYNCED = 1 << 32  # compiled, a literal of more than 31 bits would be a Python number
_ACTIVE = 1 << 63
_EPOCH = _ACTIVE - 1


class ClusterPage:
    """The supervisor makes it, the clusterer writes it, everybody reads it."""

    def __init__(
        self, arena: Arena, node: int, tags: Sequence[str], clusters: Sequence[int]
    ) -> None:
        if len(tags) > _TAGS or len(clusters) > _CLUSTERS:
            raise ShmError(f"at most {_TAGS} sharing tags and {_CLUSTERS} clusters")
        self.arena = arena
        self.node = node
        self.tags = tuple(tags)
        self.places = {tag.encode(): _TAGS_AT + 8 * place for place, tag in enumerate(tags)}
        self.clusters = {number: _CLUSTERS_AT + 8 * at for at, number in enumerate(clusters)}

    @staticmethod
    def create(
        path: str | None,
        node: int,
        tags: Sequence[str] = (),
        clusters: Sequence[int] = (1,),
        grace_s: int = 0,
    ) -> ClusterPage:
        """All tags in backup, no cluster synced, nothing old yet."""
        arena = Arena.anonymous(_SIZE) if path is None else Arena.create(path, _SIZE)
        layout.write(arena, KIND, LAYOUT, (_TAGS, _CLUSTERS))
        page = ClusterPage(arena, node, tags, clusters)
        page.set_horizon(0, 0, grace_s)
        return page

    @staticmethod
    def over(
        arena: Arena, node: int, tags: Sequence[str] = (), clusters: Sequence[int] = (1,)
    ) -> ClusterPage:
        """The page in a mapping that others use; nothing in it changes."""
        header = layout.read(arena, KIND, LAYOUT)
        if header.geometry[:2] != (_TAGS, _CLUSTERS) or arena.size != _SIZE:
            raise ShmError(f"{arena.path} has a header that contradicts itself")
        return ClusterPage(arena, node, tags, clusters)

    # -- who acts ----------------------------------------------------------------------------------

    def acts(self, tag: bytes) -> bool:
        """Whether this node is active for a tag; never for one that is not configured here."""
        at = self.places.get(tag)
        if at is None:
            return False
        return self.arena.u64(at) & _ACTIVE != 0

    def acts_for(self, tag: bytes, owner: int) -> bool:
        """Whether this node acts for what has a tag, or, without one, was made by node `owner`.

        A tag that is not configured here is none: what has it is still somebody's.
        """
        at = self.places.get(tag)
        if at is None:
            return owner == self.node
        return self.arena.u64(at) & _ACTIVE != 0

    def has_tag(self, tag: bytes) -> bool:
        """Whether a sharing tag is configured here."""
        return tag in self.places

    def epoch(self, tag: bytes) -> int:
        """The epoch of a tag's last change, 0 before the first."""
        at = self.places.get(tag)
        return 0 if at is None else self.arena.u64(at) & _EPOCH

    def set_tag(self, tag: bytes, epoch: int, active: bool) -> None:
        """The clusterer's alone: from here on this node acts, or acts no more."""
        at = self.places.get(tag)
        if at is None or epoch > _EPOCH:
            raise ShmError(f"there is no sharing tag {tag!r} with an epoch of {epoch}")
        word = epoch
        if active:
            word |= _ACTIVE
        self.arena.put_u64(at, word)
        self.arena.add_u64(_CHANGES, 1)

    def tag_changes(self) -> int:
        """A number that is another one after a tag has changed: a reason to look at everything."""
        return self.arena.u64(_CHANGES)

    # -- what is old -------------------------------------------------------------------------------

    def horizon(self, tag: bytes = b"") -> tuple[int, int, int]:
        """For whom, and for what, the sweep of location goes: node, grace in s, before.

        What another node made outlives its expiry by the grace, for that one's clock rules;
        tombstones with versions below `before` can go. With a tag, everything is the own of who is
        active for it, and nothing is of who is in backup.
        """
        me = self.node
        grace_s = self.arena.u64(_GRACE)
        at = self.places.get(tag)
        if at is not None:
            if self.arena.u64(at) & _ACTIVE != 0:
                grace_s = 0
            else:
                me = 0
        return me, grace_s, self.arena.u64(_BEFORE)

    def settled(self) -> int:
        """Versions below this one every node has, and no older frame can be under way."""
        return self.arena.u64(_SETTLED)

    def set_horizon(self, before: int, settled: int, grace_s: int) -> None:
        """The clusterer's alone."""
        self.arena.put_u64(_BEFORE, before)
        self.arena.put_u64(_SETTLED, settled)
        self.arena.put_u64(_GRACE, grace_s)

    # -- the clusterer itself ----------------------------------------------------------------------

    def is_synced(self, cluster: int) -> bool:
        """Whether this node has everything that the nodes of a cluster in its reach have."""
        at = self.clusters.get(cluster)
        return at is not None and self.arena.u64(at) & _SYNCED != 0

    def set_synced(self, cluster: int, synced: bool) -> None:
        """The clusterer's alone."""
        at = self.clusters.get(cluster)
        if at is None:
            raise ShmError(f"there is no cluster {cluster}")
        word = cluster
        if synced:
            word |= _SYNCED
        self.arena.put_u64(at, word)

    def incarnation(self) -> int:
        """The epoch of the clusterer's last start; 0: it has not been up under this supervisor."""
        return self.arena.u64(_INCARNATION)

    def set_incarnation(self, epoch: int) -> None:
        """The clusterer's alone."""
        self.arena.put_u64(_INCARNATION, epoch)
