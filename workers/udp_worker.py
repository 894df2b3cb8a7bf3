"""A UDP worker: one loop around the proxy core.

Each turn: receive a batch from every socket, hand off what other workers own, take in what they
handed to us, run the core on all of it, fire due timers, send everything, sleep until something
happens. Nothing in here waits for anything but datagrams, inbox, timers and the resolver.
"""

from __future__ import annotations

import gc
import os
import select
import time
from contextlib import suppress

from proxy.limits import counters as ids
from proxy.limits.algorithms import number_of
from proxy.routing.branch import Signer
from proxy.routing.core import ProxyCore
from proxy.routing.identity import Identity
from proxy.routing.node import Node
from proxy.routing.parking import Parking
from proxy.routing.ratelimit import Declared, Ratelimit
from proxy.routing.remote import Remote
from proxy.routing.web import Lookups
from proxy.shm.location_table import LocationTable
from proxy.shm.table_ids import READER_STORAGE
from proxy.sip.address import Address
from proxy.storage.modes import SQL_ONLY, WRITE_THROUGH
from proxy.transaction.layer import Transaction, TransactionLayer
from proxy.transaction.states import Stimulus
from proxy.transaction.timers import TimerConfig
from workers import memory
from workers.access import access_of
from workers.bans import flood_guard_of
from workers.child import Child
from workers.datagrams import DatagramSocket, Handoff
from workers.errands import Errand
from workers.mailbox import Mailbox
from workers.memory import Ebb
from workers.policy import load_policy
from workers.questions import Questions
from workers.registrar_rules import domains_of, rules_of
from workers.resolver import Resolver, SocketWatcher
from workers.tables import private_location
from workers.tallies import Tallies
from workers.tracking import track_calls

Outgoing = tuple[bytes, Address, int, Transaction | None]

BATCH = 64
IDLE_SECONDS = 0.1  # the longest sleep: heartbeat, and a producer killed before it could wake us
TALLY_SECONDS = 1.0
TRANSPORT_ERROR = int(Stimulus.TRANSPORT_ERROR)


class UdpWorker:
    """The sockets, the inbox, the timers and the core of one worker."""

    def __init__(self, child: Child) -> None:
        config = child.config
        self.child = child
        self.tables = child.tables
        self.counters = child.tables.slots.counters(child.slot)
        self.ebb = Ebb()
        self.sockets = [
            DatagramSocket(fd, listener) for listener, fds in enumerate(child.sockets) for fd in fds
        ]
        self.senders = {sock.listener: sock for sock in reversed(self.sockets)}
        self.inbox = child.tables.inboxes[child.index]
        self.wake_fd = child.inbox_eventfds[child.index]
        self.handoff = Handoff(
            child.index,
            child.tables.shards,
            child.tables.inboxes,
            child.inbox_eventfds,
            self.counters,
            ids.HANDED_OFF,
            ids.INBOX_FULL,
        )
        self.poller = select.epoll()
        self.resolver = resolver_of(child, self.watch)
        self.resolver_fds: set[int] = set()
        timers = TimerConfig(timer_c=float(config.limits.timer_c_seconds))
        self.layer = TransactionLayer(timers, config.limits.transactions)
        self.node = Node(
            self.layer,
            Signer(child.secret),
            Identity(child.listeners, domains_of(child)),
            location_of(child),
            rules_of(child),
            self.counters,
            child.log,
            self.resolver.resolve,
            timers.timer_c,
        )
        self.node.pipes = pipes_of(child)
        self.state_log = track_calls(child, self.node)
        self.node.hand_over = self.handoff.hand_over
        self.guard = flood_guard_of(child)
        for sock in self.sockets:
            sock.guard = self.guard
        if child.lookups is not None:
            self.node.lookups = lookups_of(child, child.lookups, self.node)
        script = load_policy(config.routing.script)
        self.node.on_reply = script.on_reply
        self.core = ProxyCore(self.node, script.on_request)
        self.tallies = Tallies(
            self.counters, self.layer, self.resolver, self.node.faults, self.sockets
        )
        self.tally_at = 0.0
        self.changed_at = 0
        self.questions = Questions(child, self.node)
        self.remote = remote_of(child, self.node, self.questions)
        self.access = access_of(child, self.node, self.questions.ask)
        self.parking = parking_of(child, self.node)

    def serve(self) -> int:
        """Turn after turn until asked to stop; 0."""
        child = self.child
        for sock in self.sockets:
            self.poller.register(sock.fd, select.EPOLLIN)
        for fd in (self.wake_fd, child.stop_fd, child.parent_fd):
            self.poller.register(fd, select.EPOLLIN)
        ended = {child.stop_fd, child.parent_fd}
        self.tallies.take()
        beaten = -IDLE_SECONDS
        while True:
            more = self.turn()
            if self.node.now - beaten >= IDLE_SECONDS:
                beaten = self.node.now
                child.beat()
                if self.stopping():
                    return 0
            if more or not self.inbox.announce_sleep():
                continue
            ready = self.poller.poll(self.patience())
            self.inbox.awake()
            for fd, events in ready:
                if fd in ended:
                    return 0
                if fd == self.wake_fd:
                    self.counters.add(ids.INBOX_WAKEUPS)
                    with suppress(BlockingIOError):
                        os.eventfd_read(fd)
                elif fd in self.resolver_fds:
                    self.node.set_time(time.monotonic(), time.time_ns() // 1_000_000)
                    self.resolver.process(
                        fd, bool(events & select.EPOLLIN), bool(events & select.EPOLLOUT)
                    )

    def stopping(self) -> bool:
        """Whether a worker too busy to sleep has been asked to stop."""
        return bool(select.select([self.child.stop_fd, self.child.parent_fd], [], [], 0)[0])

    def turn(self) -> bool:
        """Take in what is there, decide, fire timers, send; whether a batch was full."""
        received_ns = time.time_ns()
        self.node.set_time(time.monotonic(), received_ns // 1_000_000)
        if self.guard is not None:
            self.guard.now_ms = int(self.node.now * 1_000)
        batch: list[tuple[int, bytes, int, bytes]] = []
        count = 0
        more = False
        for sock in self.sockets:
            received = sock.receive(self.handoff, received_ns, batch)
            count += received
            more = more or received == BATCH
        self.handoff.wake()
        handed_in = self.inbox.pop(BATCH)
        if handed_in:
            self.counters.add(ids.HANDED_IN, len(handed_in))
            self.core.receive_batch(handed_in)
        if batch:
            self.core.receive_batch(batch)
        self.let_time_pass(self.node.now)
        if self.node.location.changed_at != self.changed_at:
            self.changed_at = self.node.location.changed_at
            self.wake_readers()
        if self.layer.outbox:
            self.flush()
        if count or handed_in:
            self.counters.add(ids.RECEIVED_DATAGRAMS, count)
            self.counters.add(ids.TURNS, 1)
        return more

    def wake_readers(self) -> None:
        """Wake those who follow the change ring and have asked for it."""
        for reader, fd in enumerate(self.child.reader_eventfds):
            if self.tables.changes.sleeps(reader):
                with suppress(BlockingIOError):
                    os.eventfd_write(fd, 1)

    def let_time_pass(self, now: float) -> None:
        """Fire what is due; an exception costs the timer that raised it and no more."""
        try:
            self.layer.timers.fire_due(now)
            self.resolver.expire()
            if self.parking is not None:
                self.parking.expire(now)
            if self.remote is not None:
                self.remote.expire(now)
        except Exception as error:  # noqa: BLE001 - one transaction must not end a worker
            self.core.survive(error)
        if now >= self.tally_at:
            self.tally_at = now + TALLY_SECONDS
            self.tallies.take()
            if self.node.dialogs is not None:
                self.state_log.attend(self.node.dialogs)
            if self.access is not None:
                self.access.turn()
            self.ebb.watch(self.layer.taken)

    def flush(self) -> None:
        """Send the outbox, each listener's part by its own socket."""
        outbox = self.layer.outbox
        self.layer.outbox = []
        failed: list[Outgoing] = []
        if len(self.senders) == 1:
            self.sockets[0].send(outbox, failed)
        else:
            for listener, sender in self.senders.items():
                sender.send([entry for entry in outbox if entry[2] == listener], failed)
        self.counters.add(ids.SENT_DATAGRAMS, len(outbox) - len(failed))
        if failed:
            self.report(failed)

    def report(self, failed: list[Outgoing]) -> None:
        """Tell transactions that their datagram could not leave (§17.1.4)."""
        self.counters.add(ids.SEND_ERRORS, len(failed))
        for _, address, _, transaction in failed:
            self.child.log.warning("send failed", address=address.hostport)
            if transaction is not None:
                try:
                    self.layer.drive(transaction, TRANSPORT_ERROR, None, self.node.now)
                except Exception as error:  # noqa: BLE001 - as in let_time_pass
                    self.core.survive(error)

    def patience(self) -> float:
        """How long the loop may sleep, seconds."""
        if self.layer.outbox:  # what came of a datagram that could not be sent
            return 0.0
        wait = IDLE_SECONDS
        deadline = self.layer.timers.next_deadline()
        if deadline is not None:
            wait = min(wait, deadline - time.monotonic())
        resolver = self.resolver.timeout()
        if resolver is not None:
            wait = min(wait, resolver)
        return max(wait, 0.0)

    def watch(self, fd: int, readable: bool, writable: bool) -> None:
        """The resolver opened, changed or closes one of its sockets."""
        mask = (select.EPOLLIN if readable else 0) | (select.EPOLLOUT if writable else 0)
        if not mask:
            self.resolver_fds.discard(fd)
            with suppress(OSError):
                self.poller.unregister(fd)
        elif fd in self.resolver_fds:
            self.poller.modify(fd, mask)
        else:
            self.resolver_fds.add(fd)
            self.poller.register(fd, mask)


def location_of(child: Child) -> LocationTable:
    """The table of phones; with sql-only a private one, for what has been fetched."""
    if child.config.storage.mode == SQL_ONLY:
        return private_location(child.config, f"worker-{child.index + 1}")
    return child.tables.location


def retry_after(child: Child) -> bytes:
    """What is said to a phone that the database keeps waiting."""
    return b"Retry-After: %d\r\n" % max(1, child.config.registrar.retry_after)


def remote_of(child: Child, node: Node, questions: Questions) -> Remote | None:
    """Who asks the database instead of the table, when the mode asks for it."""
    if child.config.storage.mode != SQL_ONLY:
        return None
    remote = Remote(node, questions.ask, retry_after(child))
    node.remote = remote
    return remote


def parking_of(child: Child, node: Node) -> Parking | None:
    """Where answers wait for the database, when the mode asks for it."""
    settings = child.config.storage
    if settings.mode != WRITE_THROUGH:
        return None
    parking = Parking(
        child.tables.changes,
        READER_STORAGE,
        settings.wait_seconds,
        settings.parked,
        retry_after(child),
        child.tables.slots.counters(child.slot),
    )
    node.parking = parking
    node.errands[int(Errand.DURABLE)] = parking.release
    return parking


def pipes_of(child: Child) -> Ratelimit:
    """The shared pipes, and what the configuration says about those it names."""
    settings = child.config.ratelimit
    declared = {
        pipe.name: Declared(pipe.limit, number_of(pipe.algorithm or settings.default_algorithm))
        for pipe in settings.pipes
    }
    counters = child.tables.slots.counters(child.slot)
    return Ratelimit(child.tables.pipes, declared, settings.default_algorithm, counters)


def lookups_of(child: Child, mailbox: Mailbox, node: Node) -> Lookups:
    """The way to the process that asks web servers, and back."""
    first = os.getpid() << 32
    lookups = Lookups(child.index, first, mailbox.put, node.pendings, node.counters)
    node.errands[int(Errand.HTTP_ANSWER)] = lookups.answered
    return lookups


def resolver_of(child: Child, watch: SocketWatcher) -> Resolver:
    """The resolver as configured; it asks for addresses that some listener can send to."""
    settings = child.config.resolver
    return Resolver(
        map(str, settings.nameservers),
        timeout=settings.timeout_seconds,
        families=sorted({6 if listener.is_v6 else 4 for listener in child.listeners}),
        on_socket=watch,
    )


def run(child: Child) -> int:
    """The entry point of a UDP worker."""
    memory.bound(child.config.workers.memory_mb)
    worker = UdpWorker(child)
    gc.freeze()
    gc.disable()  # the core's objects hang together only while a transaction lives
    return worker.serve()
