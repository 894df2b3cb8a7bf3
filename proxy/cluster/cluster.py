"""The brain of one cluster on one node (R14): frames and the time in, frames out.

It knows no socket, no clock and no table. The order of its caller's duties is

    1. step() for each frame that came, 2. tick(), 3. send what ready() gives,
    4. come back when a frame comes, when the change ring has news, or when tick() said.

`now` is a monotonic clock and `wall` the one on the wall, both in milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable

from proxy.cluster.comparison import Comparison
from proxy.cluster.counts import Counts
from proxy.cluster.frames import Frame, decode
from proxy.cluster.hlc import HybridClock
from proxy.cluster.link import Event, Link, State
from proxy.cluster.membership import Membership
from proxy.cluster.messages import Beat, CountsTold, Kind
from proxy.cluster.replication import Replication
from proxy.cluster.settings import Settings
from proxy.cluster.store import Store
from proxy.cluster.tags import Tags
from proxy.cluster.wire import Wire
from proxy.errors import BadFrame
from proxy.limits import bounds

Handler = Callable[[Link, Frame, int, int], None]
SWEEP_MS = 1_000
LOOK_MS = 50  # between two looks at links and snapshots, when no frame is about them
# What most frames are: they need no such look.
EVERYDAY = (Kind.DATA, Kind.ACK)


class Cluster:
    """Everything that one node does for one cluster."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        clock: HybridClock,
        epoch: int,
        synced: bool = False,
    ) -> None:
        pace = settings.pace
        self.settings = settings
        self.wire = Wire(settings, epoch)
        self.membership = Membership(
            settings.node, settings.peers, pace.silence, settings.rerouting
        )
        self.links = {p: Link(p, pace, settings.window) for p in sorted(settings.peers)}
        self.tags = Tags(settings.node, settings.tags, settings.max_lead_ms)
        self.counts = Counts(pace.counts_expire)
        self.replication = Replication(
            settings, store, clock, self.wire, self.membership, self.links
        )
        self.comparison = Comparison(
            settings, self.replication, self.wire, self.membership, self.links, synced
        )
        self.enabled = True
        self._beats = 0
        self._counts_told = 0
        self._look_at = self._beat_at = -1
        self._counts_at = self._refresh_at = self._sweep_at = -1
        self._handlers: dict[int, Handler] = {
            Kind.HELLO: self.replication.on_hello,
            Kind.WELCOME: self.replication.on_welcome,
            Kind.DATA: self.replication.on_data,
            Kind.ACK: self.replication.on_ack,
            Kind.SYNC_ASK: self.comparison.on_ask,
            Kind.SYNC_LATER: self.comparison.on_later,
            Kind.SNAPSHOT: self.comparison.on_snapshot,
            Kind.SNAPSHOT_END: self.comparison.on_snapshot_end,
            Kind.SYNC_ACK: self.comparison.on_sync_ack,
            Kind.BEAT: self._on_beat,
            Kind.COUNTS: self._on_counts,
            Kind.BYE: self._on_bye,
        }

    # -- frames in, frames out ---------------------------------------------------------------------

    def step(self, data: bytes, now: int, wall: int) -> None:
        """One frame of the bus. Whatever is wrong with it is counted, and changes nothing."""
        try:
            frame = decode(data)
            self._route(frame, now, wall)
        except BadFrame as bad:
            self.wire.tallies["bad_frames"] += 1
            self.wire.note("bad frame", str(bad))

    def _route(self, frame: Frame, now: int, wall: int) -> None:
        link = self.links.get(frame.sender)
        if frame.cluster != self.settings.cluster or link is None:
            raise BadFrame(f"a frame of node {frame.sender} in cluster {frame.cluster}")
        if frame.destination != self.settings.node:
            self._relay(frame, now)
            return
        handler = self._handlers.get(frame.kind)
        if handler is None:
            self.wire.tallies["unknown_frames"] += 1
        elif not self._is_current(link, frame):
            self.wire.tallies["stale_frames"] += 1
        elif self.enabled or frame.kind == Kind.BEAT:
            if frame.kind not in EVERYDAY:
                self._look_at = -1
            handler(link, frame, now, wall)

    def _relay(self, frame: Frame, now: int) -> None:
        """Between two others, once and no further."""
        known = frame.destination in self.links and frame.kind not in (Kind.BEAT, Kind.BYE)
        if not known or frame.hops or not self.settings.rerouting:
            raise BadFrame(f"a frame for node {frame.destination}")
        if self.enabled and self.membership.is_mutual(frame.destination, now):
            self.wire.relay(frame)

    def _is_current(self, link: Link, frame: Frame) -> bool:
        """Whether a peer's present incarnation says this: what an older one said means nothing."""
        if frame.epoch < link.following.epoch:
            return False
        if frame.epoch > link.following.epoch:
            self._begin_anew(link, frame.epoch)
        return True

    def _begin_anew(self, link: Link, epoch: int) -> None:
        following = link.following
        following.epoch = epoch
        following.position = 0
        following.ask_at = 0
        following.quarantine = 0
        following.handle(Event.REBORN)
        link.sending.stop()
        link.owes_ack = link.gap = False
        self.comparison.drop(link.peer)
        self._counts_at = self._refresh_at = -1  # it has lost what we have told

    def ready(self) -> list[tuple[int, int, bytes]]:
        """(next hop, channel, frame) of everything that has to leave now."""
        for link in self.links.values():
            self.replication.acknowledge(link)
        self.comparison.acknowledge()
        outbox, self.wire.outbox = self.wire.outbox, []
        return outbox

    def events(self) -> list[tuple[str, str]]:
        """What happened since this was asked last, for the log."""
        events, self.wire.events = self.wire.events, []
        return events

    # -- the time ----------------------------------------------------------------------------------

    def tick(self, now: int, wall: int) -> int:
        """What is due; when to come back at the latest."""
        looks = now >= self._look_at
        if looks:
            self._look_at = now + LOOK_MS
            for link in self.links.values():
                self._watch(link, now, wall)
        more = self.replication.pump(now, wall)
        if self.enabled and looks and self.comparison.tick(now):
            more = True
            self._look_at = now
        if now >= self._counts_at:
            self._tell_counts(now)
        if now >= self._beat_at:
            self._beat(now, wall)
        return now if more else self.due()

    def due(self) -> int:
        """When to come back at the latest, if no change here asks for it: asked after step()."""
        if self.replication.may_send():
            return -1
        return min(self._look_at, self._beat_at, self._counts_at)

    def _watch(self, link: Link, now: int, wall: int) -> None:
        """Whether there is a way to a peer, and what follows from it."""
        takes_part = self.enabled and self.membership.is_enabled(link.peer)
        hop = self.membership.next_hop(link.peer, now) if takes_part else 0
        if hop != link.next_hop:
            self.wire.note("next hop", f"node {link.peer} is reached over {hop or 'nobody'}")
            link.waits_since = now
        link.next_hop = hop
        following = link.following
        if hop and following.state == State.DOWN:
            following.handle(Event.UP)
            following.ask_at = 0
            self._counts_at = self._refresh_at = -1  # it has not heard of our counts
            self.wire.note("node up", f"node {link.peer}")
        elif not hop and following.state != State.DOWN:
            following.handle(Event.LOST)
            link.sending.stop()
            self.comparison.drop(link.peer)
            self.wire.note("node down", f"node {link.peer}")
        if hop:
            self.replication.greet(link, now, wall)
            self.replication.remind(link, now)

    # -- beats -------------------------------------------------------------------------------------

    def _beat(self, now: int, wall: int) -> None:
        self._beat_at = now + self.settings.pace.beat
        self._beats += 1
        beat = Beat(
            wall,
            self.replication.stable_ms,
            self.replication.digests.root,
            self.replication.backlog.head,
            self.comparison.baseline,
            self.settings.seed,
            self.comparison.load(now),
            self.enabled,
            self.membership.neighbours(now),
            tuple(self.tags.told()),
        )
        self.wire.beat(tuple(self.links), self._beats, beat.encode())

    def _on_beat(self, link: Link, frame: Frame, now: int, wall: int) -> None:
        beat = Beat.decode(frame.body)
        if not self.membership.hears(link.peer, now):
            self._beat_at = now  # it learns at once that it is heard
        self.membership.hear(link.peer, frame.epoch, beat, now, wall)
        if self.enabled:
            self.comparison.verified(link, beat.root, now)
        lead_ms = self.membership.lead_ms(link.peer, self.settings.max_lead_ms)
        for name, epoch, holder in beat.tags:
            if self.tags.hear(name, epoch, holder, wall, lead_ms):
                text = f"{name} is held by {holder or 'nobody'} since {epoch}"
                self.wire.note("sharing tag changed", text)

    def _on_bye(self, link: Link, frame: Frame, now: int, wall: int) -> None:
        self.membership.forget(link.peer)
        self.counts.drop(link.peer)

    def leave(self) -> None:
        """Say good-bye: the peers need not wait for our silence. The last thing before the end."""
        self.wire.leave(tuple(self.links))

    # -- tags, counts, administration --------------------------------------------------------------

    def activate(self, name: str, now: int, wall: int) -> int:
        """Make this node the one that acts for a tag (clusterer_shtag_set_active)."""
        epoch = self.tags.activate(name, wall)
        self._tell_tags(now, f"{name} is active here since {epoch}")
        return epoch

    def step_down(self, name: str, now: int, wall: int) -> int:
        """This node has lost what made it active for a tag."""
        epoch = self.tags.step_down(name, wall)
        self._tell_tags(now, f"{name} is backup here since {epoch}")
        return epoch

    def _tell_tags(self, now: int, text: str) -> None:
        self.wire.note("sharing tag changed", text)
        self._beat_at = now  # the peers hear of it at the next tick

    def _tell_counts(self, now: int) -> None:
        pace = self.settings.pace
        self._counts_at = now + pace.counts
        if now >= self._sweep_at:
            self._sweep_at = now + SWEEP_MS
            self.counts.sweep(now)
        if now >= self._refresh_at:
            self._refresh_at = now + pace.counts_refresh
            told = self.counts.all_own()
        else:
            told = self.counts.changed()
        if not self.enabled:
            return
        self._counts_told += 1
        for start in range(0, len(told), bounds.COUNTS_PER_FRAME):
            body = CountsTold(tuple(told[start : start + bounds.COUNTS_PER_FRAME])).encode()
            for link in self.links.values():
                self.wire.send(link, Kind.COUNTS, self._counts_told, body)

    def _on_counts(self, link: Link, frame: Frame, now: int, wall: int) -> None:
        told = CountsTold.decode(frame.body)
        self.counts.hear(link.peer, frame.epoch, frame.sequence, list(told.counts), now)

    def set_peers(self, peers: tuple[int, ...], priorities: dict[int, int]) -> None:
        """Who belongs to the cluster now (clusterer_reload, clusterer_remove_node)."""
        for peer in [each for each in self.links if each not in peers]:
            self.comparison.forget(peer)
            self.counts.drop(peer)
            del self.links[peer]
            self.wire.note("node removed", f"node {peer}")
        self.membership.set_peers(peers, priorities)
        for peer in peers:
            if peer not in self.links:
                self.links[peer] = Link(peer, self.settings.pace, self.settings.window)
        self._look_at = self._beat_at = -1

    def compare_now(self, now: int) -> bool:
        """Compare with every node in reach (ul_cluster_sync); False when there is none."""
        reached = False
        for link in self.links.values():
            if link.following.takes_changes:
                link.following.handle(Event.MISSED)
                link.following.compare_at = now
                reached = True
        self._look_at = -1
        return reached

    def set_enabled(self, enabled: bool) -> None:
        """Take this node out of the cluster, or back (clusterer_set_status)."""
        self.enabled = enabled
        self._look_at = self._beat_at = -1

    def set_capability(self, table: int, enabled: bool, now: int) -> None:
        """Neither send nor take a table's changes, or do so again (clusterer_set_cap_status)."""
        disabled = self.replication.disabled
        if enabled and table in disabled:
            disabled.discard(table)
            self.replication.backlog.skip()  # what was left out: peers have to compare as well
            for link in self.links.values():
                link.following.handle(Event.MISSED)
                link.following.compare_at = now
        elif not enabled:
            disabled.add(table)
