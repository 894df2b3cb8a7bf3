"""Comparing with the peers: which one to ask for a snapshot, taking it, giving one, being synced.

One snapshot at a time is taken, and one is given. A node is *synced* when it once had the whole of
a synced node (or was told to begin alone) and lacks nothing of any node it can reach.
"""

from __future__ import annotations

from proxy.cluster.frames import Frame, decode_records
from proxy.cluster.link import Event, Link, State
from proxy.cluster.membership import Membership
from proxy.cluster.messages import (
    SNAPSHOT_HEAD,
    Kind,
    SnapshotEnd,
    SyncAck,
    SyncAsk,
    question_of,
    unpack,
)
from proxy.cluster.replication import Replication
from proxy.cluster.settings import Settings
from proxy.cluster.sync import Pull, Serving, choose_donor
from proxy.cluster.wire import Wire


class Comparison:
    """Snapshots of one cluster on one node, both ways."""

    def __init__(
        self,
        settings: Settings,
        replication: Replication,
        wire: Wire,
        membership: Membership,
        links: dict[int, Link],
        synced: bool,
    ) -> None:
        self.settings = settings
        self.replication = replication
        self.wire = wire
        self.membership = membership
        self.links = links
        self.baseline = synced  # whether we ever had everything
        self.reason = "" if synced else "just started"
        self.pull: Pull | None = None
        self.serving: Serving | None = None
        self.waiting: dict[int, int] = {}  # who was told to come later, and until when that counts
        self._asked: tuple[int, SyncAsk] | None = None  # who is served next
        self.last: dict[str, int] = {}  # of the last snapshot taken: peer, records, news, at
        self.started_at = -1
        self._questions = 0
        self._later: dict[int, int] = {}  # a donor, and before when not to ask it again

    # -- am I synced -------------------------------------------------------------------------------

    def is_synced(self) -> bool:
        """Whether this node has all that the nodes it can reach have."""
        return self.baseline and not self.lacking()

    def lacking(self) -> list[int]:
        """Reachable peers of which something may be missing."""
        return [
            peer
            for peer, link in self.links.items()
            if link.following.state in (State.GREETING, State.CATCHING_UP)
            or (link.following.state == State.FOLLOWING and link.following.quarantine)
        ]

    @property
    def is_waited_for(self) -> bool:
        """Whether a snapshot comes or goes: the other side does nothing meanwhile."""
        return self.pull is not None or self.serving is not None

    def why(self) -> str:
        """One sentence: why this node is synced or not."""
        if self.pull is not None and not self.baseline:
            return f"a snapshot of node {self.pull.donor} is coming: {self.pull.count} records"
        lacking = self.lacking()
        troubles = "".join(f"; {t}" for t in (self.links[p].trouble for p in lacking) if t)
        if not self.baseline:
            return f"not synced: {self.reason}{troubles}"
        if lacking:
            nodes = ", ".join(str(peer) for peer in lacking)
            return f"comparing with node {nodes}{troubles}"
        return f"synced: {self.reason}" if self.reason else "synced"

    def declare(self, reason: str) -> None:
        """This node begins with what it has: a seed without a donor, or an operator's word."""
        self.baseline = True
        self.reason = reason
        self.wire.note("synced", reason)

    def _consider_seeding(self, now: int) -> None:
        if self.baseline or self.pull is not None:
            return
        if not self.links:
            self.declare("the only node")
        elif self._synced_peers():
            self.reason = "waiting for a donor"
        elif not self.settings.seed:
            self.reason = "no node is synced, and this one is not a seed"
        elif now - self.started_at >= self.settings.pace.seed_wait:
            self.declare("a seed, and no node was synced")
        else:
            self.reason = "a seed, waiting for a donor"

    def _synced_peers(self) -> set[int]:
        found = set()
        for peer, link in self.links.items():
            beat = self.membership.peers[peer].beat
            if beat is not None and beat.synced and link.following.takes_changes:
                found.add(peer)
        return found

    # -- taking ------------------------------------------------------------------------------------

    def tick(self, now: int) -> bool:
        """Ask, ask again, give up, give; whether there is more to give at once."""
        if self.started_at < 0:
            self.started_at = now
        self._watch_pull(now)
        self._consider_seeding(now)
        if self.pull is None and self.replication.is_scanned:
            self._ask(now)
        return self._serve(now)

    def _watch_pull(self, now: int) -> None:
        pull = self.pull
        if pull is None:
            return
        link = self.links[pull.donor]
        if not link.following.takes_changes:
            self._give_up(now, "the way to it was lost")
        elif now - pull.progress_at >= self.settings.pace.sync_silence:
            self._give_up(now, "nothing came of it")
        elif not pull.answered and now - pull.asked_at >= 2 * self.settings.pace.resend:
            self._send_question(pull, now)

    def _give_up(self, now: int, why: str) -> None:
        assert self.pull is not None
        donor = self.pull.donor
        self._hinder(f"the snapshot of node {donor} was given up: {why}")
        self.wire.tallies["snapshots_failed"] += 1
        self.links[donor].following.compare_at = now + self.settings.pace.hello
        self._later[donor] = now + self.settings.pace.hello
        self.pull = None

    def _hinder(self, reason: str) -> None:
        """Say why there is no baseline; with one, the reason goes on saying where it is from."""
        if not self.baseline:
            self.reason = reason

    def _ask(self, now: int) -> None:
        needy = [
            peer
            for peer, link in self.links.items()
            if link.following.takes_changes and now >= link.following.compare_at
        ]
        synced = {peer for peer in self._synced_peers() if now >= self._later.get(peer, 0)}
        needy = [peer for peer in needy if now >= self._later.get(peer, 0)]
        load = {}
        for peer in self.links:
            beat = self.membership.peers[peer].beat
            load[peer] = beat.serving if beat is not None else 0
        donor = choose_donor(self.settings.node, needy, synced, load, self.baseline)
        if not donor:
            return
        beat = self.membership.peers[donor].beat
        donor_synced = beat is not None and beat.synced
        self._questions += 1
        question = now << 16 | self._questions & 0xFFFF
        self.pull = Pull(donor, question, donor_synced, now, now)
        self._send_question(self.pull, now)

    def _send_question(self, pull: Pull, now: int) -> None:
        pull.asked_at = now
        ask = SyncAsk(pull.question, self.replication.digests.sums)
        self.wire.send(self.links[pull.donor], Kind.SYNC_ASK, 0, ask.encode())

    def on_later(self, link: Link, frame: Frame, now: int, wall: int) -> None:
        """The donor is busy."""
        pull = self.pull
        if pull is None or pull.donor != link.peer or pull.question != question_of(frame.body):
            return
        pace = self.settings.pace
        # Nodes that were sent away together do not come back together.
        self._later[link.peer] = now + pace.hello + 97 * self.settings.node % pace.hello
        self._hinder(f"node {link.peer} is busy with another snapshot")
        self.pull = None

    def on_snapshot(self, link: Link, frame: Frame, now: int, wall: int) -> None:
        """Records of the donor."""
        (question,) = unpack(SNAPSHOT_HEAD, frame.body, 0)
        records = decode_records(frame.body, SNAPSHOT_HEAD.size)
        self.replication.check(records)
        pull = self._pull_of(link, question)
        if pull is None:
            return
        in_order = frame.sequence == pull.expected
        if in_order:
            done = self.replication.apply(link, records, wall)
            if done <= 0:
                link.following.handle(Event.MISSED)
                self._give_up(now, link.trouble)
                link.following.compare_at = now + self.settings.pace.repair_soon
                return
            pull.news += done - 1
            pull.take(frame.sequence, records, now)
        pull.owes_ack = True
        pull.gap |= frame.sequence > pull.expected

    def _pull_of(self, link: Link, question: int) -> Pull | None:
        pull = self.pull
        if pull is None or pull.donor != link.peer or pull.question != question:
            return None
        return pull if link.following.takes_changes else None

    def acknowledge(self) -> None:
        """One acknowledgement for all frames of a snapshot that came in this turn."""
        pull = self.pull
        if pull is not None and pull.owes_ack:
            self._acknowledge(self.links[pull.donor], pull, pull.gap)

    def _acknowledge(self, link: Link, pull: Pull, gap: bool) -> None:
        pull.owes_ack = pull.gap = False
        ack = SyncAck(pull.question, gap)
        self.wire.send(link, Kind.SYNC_ACK, pull.expected, ack.encode())

    def on_snapshot_end(self, link: Link, frame: Frame, now: int, wall: int) -> None:
        """That was all: whole, or not."""
        end = SnapshotEnd.decode(frame.body)
        pull = self._pull_of(link, end.question)
        if pull is None:
            return
        if frame.sequence > pull.expected:
            self._acknowledge(link, pull, True)
        elif not pull.is_whole(frame.sequence, end):
            self._give_up(now, "its count or digest does not match what came")
        else:
            self._acknowledge(link, pull, False)
            self._finish(link, pull, now)

    def _finish(self, link: Link, pull: Pull, now: int) -> None:
        self.pull = None
        link.trouble = ""
        link.following.quarantine = 0
        link.following.handle(Event.COMPARED)
        link.following.compared_at = now
        link.following.compare_at = now + self.settings.pace.repair
        link.owes_ack = True
        self.last = {"node": pull.donor, "records": pull.count, "new": pull.news, "at": now}
        self.wire.tallies["snapshots"] += 1
        self.wire.tallies["repaired"] += pull.news
        if pull.donor_synced and not self.baseline:
            self.declare(f"by a snapshot of node {pull.donor}, {pull.count} records")

    def verified(self, link: Link, root: int, now: int) -> None:
        """A peer's beat says the sum of all it has: when ours is the same, nothing is missing."""
        if self.replication.is_scanned and root == self.replication.digests.root:
            link.verified_at = now
            link.following.quarantine = 0
            if link.following.state == State.FOLLOWING:
                link.following.compare_at = now + self.settings.pace.repair

    # -- giving ------------------------------------------------------------------------------------

    def on_ask(self, link: Link, frame: Frame, now: int, wall: int) -> None:
        """A peer wants what it lacks: served from the next turn on, or told to come later."""
        ask = SyncAsk.decode(frame.body)
        serving = self.serving
        if serving is not None and serving.peer == link.peer:
            if serving.question == ask.question:
                self._send_again(link, serving)
                return
            if ask.question > serving.question:
                self.serving = None  # it has given up the one before
        busy = self._asked is not None and self._asked[0] != link.peer
        if self.serving is not None or busy or not self.replication.is_scanned:
            self.waiting[link.peer] = now + 2 * self.settings.pace.hello
            body = SNAPSHOT_HEAD.pack(ask.question)
            self.wire.send(link, Kind.SYNC_LATER, 0, body)
            return
        self.waiting.pop(link.peer, None)
        self._asked = (link.peer, ask)

    def _begin_serving(self, now: int) -> None:
        """What differs is judged when all that changed here is in the sums."""
        if self._asked is None or not self.replication.is_drained:
            return
        peer, ask = self._asked
        self._asked = None
        wanted = self.replication.digests.differing(ask.sums)
        self.serving = Serving(peer, ask.question, wanted, now)

    def on_sync_ack(self, link: Link, frame: Frame, now: int, wall: int) -> None:
        """How much of it has arrived."""
        ack = SyncAck.decode(frame.body)
        serving = self.serving
        if serving is None or serving.peer != link.peer or serving.question != ack.question:
            return
        serving.acknowledge(frame.sequence, now)
        if ack.gap and now - serving.sent_again_at >= self.settings.pace.resend // 4:
            serving.sent_again_at = now
            self._send_again(link, serving)
        elif serving.is_over and frame.sequence >= serving.number and not ack.gap:
            serving.acknowledged_end = serving.end_sent

    def _serve(self, now: int) -> bool:
        self._begin_serving(now)
        serving = self.serving
        if serving is None:
            return False
        link = self.links[serving.peer]
        if not link.next_hop or now - serving.progress_at >= self.settings.pace.sync_silence:
            self.serving = None
            return False
        for number, body in serving.fill(self.replication.store, self.settings.snapshot_window):
            self.wire.send(link, Kind.SNAPSHOT, number, body)
            serving.sent_again_at = now
        if serving.is_over and not serving.end_sent:
            self._send_end(link, serving)
            serving.end_sent = True
            serving.sent_again_at = now
        if serving.acknowledged_end:
            self.serving = None
        elif now - serving.sent_again_at >= self.settings.pace.resend:
            serving.sent_again_at = now
            self._send_again(link, serving)
        return serving.end is None and len(serving.under_way) < self.settings.snapshot_window

    def _send_again(self, link: Link, serving: Serving) -> None:
        for number, body in serving.under_way:
            self.wire.send(link, Kind.SNAPSHOT, number, body)
        if serving.is_over:
            self._send_end(link, serving)

    def _send_end(self, link: Link, serving: Serving) -> None:
        assert serving.end is not None
        self.wire.send(link, Kind.SNAPSHOT_END, serving.number, serving.end.encode())

    def load(self, now: int) -> int:
        """Snapshots under way and asked for here: joiners look for the node with the least."""
        waiting = sum(until > now for until in self.waiting.values())
        return waiting + (self.serving is not None)

    def drop(self, peer: int) -> None:
        """The peer is another incarnation, or gone."""
        if self.serving is not None and self.serving.peer == peer:
            self.serving = None
        if self._asked is not None and self._asked[0] == peer:
            self._asked = None
        if self.pull is not None and self.pull.donor == peer:
            self.pull = None
            self._hinder(f"node {peer} began anew while it was the donor")

    def forget(self, peer: int) -> None:
        """The peer is no node of this cluster any more."""
        self.drop(peer)
        self.waiting.pop(peer, None)
        self._later.pop(peer, None)
