"""The clusterer's loop: frames in, the brains' turns, frames out.

It never waits but in its one poll, and holds no lock across a send: a peer that is dead, frozen or
slow costs what its queues hold (bus.py), and no worker anything.
"""

from __future__ import annotations

import os
import time
from collections.abc import Container
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

import zmq

from proxy.cluster.cluster import Cluster
from proxy.cluster.hlc import HybridClock
from proxy.cluster.settings import secret_mark
from proxy.shm.table_ids import READER_CLUSTER
from workers.child import Child
from workers.cluster_settings import PACE, Member, brain_settings, contents_of, read_secret_key
from workers.clusterer import memory
from workers.clusterer.bus import Bus
from workers.clusterer.capabilities import COUNTED, TABLES
from workers.clusterer.counts import ClusterCounts
from workers.clusterer.nodes import Node, configured, silence_ms
from workers.clusterer.orders import Orders
from workers.clusterer.pacing import TICK_MS, Pacing
from workers.clusterer.provisioning import Provisioning
from workers.clusterer.report import Report
from workers.clusterer.store import TableStore, open_store
from workers.clusterer.tag_watch import TagWatch
from workers.edition import Commit
from workers.priority import make_way
from workers.setting_types import Endpoint

FRAMES: Final = 8  # taken before the clock is looked at again
SLICE_MS: Final = 20  # of taking frames, before beats and the rest have their turn
IDLE_MS: Final = 250
MESSAGES: Final = 64
REPORT_MS: Final = 250
TAGS_MS: Final = 200  # between two looks at them when nothing has happened
LAST_WORDS_S: Final = 2.0  # how long workers that are being stopped are followed
LAST_ACKS_S: Final = 1.0  # and what they changed is waited for at the peers


class ClustererProcess:
    """All clusters of this node: their brains, their stores, and the bus under them."""

    def __init__(self, child: Child) -> None:
        config = child.config
        assert config.cluster.bind is not None
        assert child.clusterer is not None
        self.child = child
        self.mailbox = child.clusterer
        self.ring = child.tables.changes
        self.wake_fd = child.reader_eventfds[READER_CLUSTER]
        self.memory = memory.recall(child, wall_ms())
        key = config.cluster.key_file
        secret = None if config.cluster.insecure or key is None else read_secret_key(key)
        self.bus = Bus(config.node.id, config.cluster.bind, secret)
        self.clock = HybridClock(config.cluster.max_clock_lead_seconds * 1_000)
        self.brains: dict[int, Cluster] = {}
        self.stores: list[TableStore] = []
        self.nodes: list[Node] = []
        self.keys = dict(config.cluster.peer_keys)
        self.switched_off: set[tuple[int, int]] = set()  # (cluster, node), by an operator
        self.orders = Orders(self)
        self.provisioning = Provisioning(self)
        self.report = Report(self)
        self.tags = TagWatch(child, self.brains)
        self.counts = ClusterCounts(child, self.brains)
        self.pacing = Pacing()
        self.works = False  # for longer than whoever waits for the processor should wait
        self.due = self.ticked_at = self.report_at = self.tags_at = self.counts_at = 0
        self.ends = zmq.Poller()  # what a nap is broken off for
        for fd in (child.stop_fd, child.parent_fd):
            self.ends.register(fd, zmq.POLLIN)
        for fd in (child.stop_fd, child.parent_fd, self.wake_fd, self.mailbox.eventfd):
            self.bus.poller.register(fd, zmq.POLLIN)
        if self.tags.fd >= 0:
            self.bus.poller.register(self.tags.fd, zmq.POLLIN)
        if secret is None:
            child.log.warning("nodes are not authenticated", bind=config.cluster.bind)
        if not config.cluster.from_database:
            self.set_nodes(configured(config))
            self.orders.resume()
        child.prepare = self.prepare

    def prepare(self, child: Child) -> Commit:
        """Take the nodes and keys of another edition; the Commit lets them hold."""
        cluster = child.config.cluster
        nodes = self.nodes if cluster.from_database else configured(child.config)

        def commit() -> None:
            self.keys = dict(cluster.peer_keys)
            if not cluster.from_database:
                self.orders.read_anew()
            self.set_nodes(nodes)

        return commit

    # -- which nodes there are ---------------------------------------------------------------------

    def set_nodes(self, nodes: list[Node]) -> None:
        """Take part in the clusters with these nodes, the first time and when they change."""
        self.nodes = nodes
        me = self.child.config.node.id
        urls: dict[int, Endpoint] = {}
        for member in self.child.config.cluster.clusters:
            own = self.node(member.id, me)
            peers = self.peers(member.id)
            urls |= {each.node: each.url for each in peers}
            brain = self._brain(member, own, tuple(each.node for each in peers))
            brain.membership.silence_ms = silence_ms(self.child.config, own) if own else 0
            brain.set_peers(
                tuple(each.node for each in peers), {each.node: each.priority for each in peers}
            )
            off = (member.id, me) in self.switched_off
            takes_part = own is not None and own.enabled and not off
            if takes_part != brain.enabled:
                brain.set_enabled(takes_part)
        self.bus.set_peers(urls, self.keys)
        if not self.child.config.cluster.insecure:
            for node in sorted(set(urls) - set(self.keys)):
                self.child.log.error("node without a key", node=node)
        self.due = 0

    def peers(self, cluster: int) -> list[Node]:
        """The other nodes of a cluster that take part in it."""
        return [
            each
            for each in self.nodes
            if each.cluster == cluster
            and each.node != self.child.config.node.id
            and each.enabled
            and (cluster, each.node) not in self.switched_off
        ]

    def node(self, cluster: int, node: int) -> Node | None:
        """What is known of a node in a cluster."""
        same = (each for each in self.nodes if (each.cluster, each.node) == (cluster, node))
        return next(same, None)

    def kinds(self, cluster: int) -> list[int]:
        """The kinds of counts that a cluster shares."""
        config = self.child.config
        member = next(each for each in config.cluster.clusters if each.id == cluster)
        contents = contents_of(config, member)
        return [kind for content, kind in COUNTED.items() if content in contents]

    def _brain(self, member: Member, own: Node | None, peers: tuple[int, ...]) -> Cluster:
        if member.id in self.brains:
            return self.brains[member.id]
        config = self.child.config
        store = open_store(self.child, sorted(contents_of(config, member)))
        settings = replace(
            brain_settings(config, member, peers),
            tables=tuple(sorted(store.forms)),
            seed=own.seed if own else False,
            mark=secret_mark(self.child.secret, member.id),
            names=TABLES,
        )
        synced = member.id in self.memory.synced
        brain = Cluster(settings, store, self.clock, self.memory.epoch, synced)
        self.stores.append(store)
        self.brains[member.id] = brain
        return brain

    # -- the loop ----------------------------------------------------------------------------------

    def serve(self) -> int:
        """Turn after turn until asked to stop; then the last changes are told."""
        child = self.child
        ended = {child.stop_fd, child.parent_fd}
        self.report.turn(now_ms(), wall_ms())
        child.beat()
        self.turn(frozenset())
        while True:
            ready = dict(self._sleep())
            if ended & ready.keys():
                return self.finish()
            self.turn(ready.keys())

    def _sleep(self) -> list[tuple[Any, int]]:
        """Wait until something is to be done; what is ready."""
        nap = self._nap()
        if nap:
            self.due = 0
            return self.ends.poll(nap) or self.bus.poller.poll(0)
        patience = self.patience()
        if patience == 0 and self.works:
            make_way()
        return self.bus.poller.poll(patience)

    def _nap(self) -> int:
        """How long to sleep so that the next turn has more to do, if the last one had much."""
        brains = self.brains.values()
        told = sum(brain.wire.tallies["records"] for brain in brains)
        taken = sum(brain.wire.tallies["applied"] for brain in brains)
        nap = self.pacing.nap(told, taken, time.thread_time_ns())
        waited_for = any(brain.comparison.is_waited_for for brain in brains)
        self.works = waited_for or self.pacing.was_long
        return 0 if waited_for else nap  # a snapshot's frames are waited for by the other side

    def patience(self) -> int:
        """How long the loop may sleep, milliseconds; wake-ups are asked for when it may."""
        now = now_ms()
        if not self.mailbox.may_sleep():
            return 0
        wait = max(0, min(self.due, self.report_at, self.tags_at, now + IDLE_MS) - now)
        if wait > TICK_MS and not self._fall_asleep():
            self.due = self.pacing.free_at
            wait = max(0, self.due - now)
        return wait

    def _fall_asleep(self) -> bool:
        if not self.stores:
            return True
        if not all(store.at_end for store in self.stores):
            return False
        return self.ring.announce_sleep(READER_CLUSTER, self.stores[0].position)

    def turn(self, ready: Container[object]) -> None:
        """Whatever there is to do."""
        self.child.beat()
        self.ring.awake(READER_CLUSTER)
        now = now_ms()
        if self.wake_fd in ready:
            with suppress(BlockingIOError):
                os.eventfd_read(self.wake_fd)
            self.due = min(self.due, max(now, self.pacing.free_at))
        if self.tags.fd in ready or now >= self.tags_at:
            self.follow_tags(now)
        for message in self.mailbox.take(MESSAGES):
            self.receive(message)
        self.bus.admit(ready)
        if self.take_frames(now, ready):
            wanted = min(brain.due() for brain in self.brains.values())
            self.due = min(self.due, max(wanted, self.pacing.free_at))
            self.tags.publish()
        now = now_ms()
        if now >= self.due:
            self.tick(now)
        self.send()
        if now >= self.report_at:
            self.report_at = now + REPORT_MS
            self.provisioning.turn(now)
            self.bus.mend(now)
            self.report.turn(now, wall_ms())

    def take_frames(self, now: int, ready: Container[object]) -> bool:
        """Hand the frames that came to the brains; whether there were any."""
        came = False
        until = now + SLICE_MS
        while True:
            frames = self.bus.receive(FRAMES, ready)
            wall = wall_ms()
            for frame in frames:
                brain = self.brains.get(frame[6] | frame[7] << 8)
                if brain is None:
                    self.bus.tallies["bad_frames"] += 1
                else:
                    brain.step(frame, now, wall)
                    if self.works or len(frames) > 1:
                        make_way()
            came |= bool(frames)
            now = now_ms()
            if len(frames) < FRAMES or now >= until:
                return came

    def tick(self, now: int) -> None:
        """The brains' turn: what changed here, and what is due."""
        self.ticked_at = now
        self.pacing.looked(now)
        wall = wall_ms()
        if now >= self.counts_at:  # before the brains, who tell them at about the same time
            self.counts_at = now + PACE.counts
            self.counts.tell(now)
        more = self.counts.hear(now, wall)
        due = min((b.tick(now, wall) for b in self.brains.values()), default=now + IDLE_MS)
        if due > now:  # else there is something left to do at once
            due = now + TICK_MS if more else max(due, now + TICK_MS)
        self.due = due

    def send(self) -> None:
        """What the brains want to leave, leaves."""
        for brain in self.brains.values():
            for node, channel, frame in brain.ready():
                self.bus.send(node, channel, frame)

    def activate(self, brain: Cluster, tag: str) -> None:
        """Make this node the one that acts for a tag."""
        brain.activate(tag, now_ms(), wall_ms())
        self.tags.publish()
        self.due = 0

    def follow_tags(self, now: int) -> None:
        """An address that has left takes its tags along before anything else is done."""
        self.tags_at = now + TAGS_MS
        if self.tags.turn(now, wall_ms()):
            self.due = 0

    def receive(self, message: bytes) -> None:
        """A message from another process of this node."""
        if not self.provisioning.receive(message):
            self.orders.receive(message)

    # -- the end -----------------------------------------------------------------------------------

    def finish(self) -> int:
        """The server stops: tell what the workers change to their end, and say good-bye."""
        until = time.monotonic() + LAST_WORDS_S
        slots = self.child.tables.slots
        while time.monotonic() < until:
            self._last_turn()
            if not any(row.role.startswith("udp worker") for row in slots.live()):
                break
        until = time.monotonic() + LAST_ACKS_S
        while time.monotonic() < until and any(map(is_awaited, self.brains.values())):
            self._last_turn()
        for brain in self.brains.values():
            brain.leave()
        self.send()
        self.report.turn(now_ms(), wall_ms())
        self.bus.close()
        return 0

    def _last_turn(self) -> None:
        self.due = 0
        for fd in (self.child.stop_fd, self.child.parent_fd):
            with suppress(KeyError):
                self.bus.poller.unregister(fd)
        self.turn(dict(self.bus.poller.poll(10)).keys())


def is_awaited(brain: Cluster) -> bool:
    """Whether a peer has yet to say that it has what changed here."""
    head = brain.replication.backlog.head
    links = brain.links.values()
    return any(
        link.next_hop and link.sending.started and link.sending.acked < head for link in links
    )


def now_ms() -> int:
    """The monotonic clock."""
    return time.monotonic_ns() // 1_000_000


def wall_ms() -> int:
    """The clock on the wall."""
    return time.time_ns() // 1_000_000


def serve(child: Child) -> int:
    """The process, until it is asked to stop."""
    return ClustererProcess(child).serve()
