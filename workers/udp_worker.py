"""A UDP worker: one loop around the proxy core, and all that it is made of.

What a turn of the loop is, turn.py says. Nothing in here waits for anything but datagrams, inbox,
timers and the resolver.
"""

from __future__ import annotations

import gc
import os
import select
import time
from contextlib import suppress
from functools import partial

from proxy.limits.algorithms import number_of
from proxy.routing.branch import Signer
from proxy.routing.core import ProxyCore
from proxy.routing.identity import Identity
from proxy.routing.node import Node
from proxy.routing.parking import Parking
from proxy.routing.ratelimit import Declared, Ratelimit
from proxy.routing.remote import Remote
from proxy.routing.sql import SqlQueries
from proxy.routing.web import Lookups
from proxy.shm.location_table import LocationTable
from proxy.shm.places import Order
from proxy.shm.table_ids import READER_STORAGE
from proxy.storage.modes import SQL_ONLY, WRITE_THROUGH
from proxy.transaction.layer import TransactionLayer
from proxy.transaction.timers import TimerConfig
from workers import memory, priority
from workers.access import access_of, use_rules
from workers.bans import flood_guard_of
from workers.child import Child
from workers.datagrams import DatagramSocket
from workers.duty import Duty
from workers.early_drop import EarlyDrop
from workers.edition import Commit
from workers.errands import Errand
from workers.handoff import Handoff, Predecessor
from workers.mailbox import Mailbox
from workers.memory import Ebb
from workers.neighbours import Neighbours
from workers.overload import OverloadWatch, overload_rules, salt
from workers.policy import Script, run_script
from workers.questions import Questions
from workers.registrar_rules import domains_of, rules_of
from workers.resolver import Resolver, SocketWatcher
from workers.tables import private_location
from workers.tallies import Tallies
from workers.tracking import dialog_rules_of, track_calls
from workers.turn import IDLE_SECONDS, Readers, Turn

LAST_TURNS = 1_000


class UdpWorker:
    """The sockets, the inbox, the timers and the core of one worker."""

    def __init__(self, child: Child) -> None:
        config = child.config
        self.child = child
        counters = child.tables.slots.counters(child.slot)
        self.ebb = Ebb()
        sockets = datagram_sockets(child.sockets)
        tables = child.tables
        handoff = Handoff(
            child.index, tables.shards, tables.inboxes, child.inbox_eventfds, counters
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
            counters,
            child.log,
            self.resolver.resolve,
            timers.timer_c,
        )
        self.node.pipes = pipes_of(child)
        self.state_log = track_calls(child, self.node)
        self.node.hand_over = handoff.hand_over
        if child.lookups is not None:
            self.node.lookups = lookups_of(child, child.lookups, self.node)
        self.script = run_script(child.script, config.routing.script)
        self.node.on_reply = self.script.on_reply
        self.old_scripts: list[Script] = []
        self.turn = Turn(
            ProxyCore(self.node, self.script.on_request),
            sockets,
            handoff,
            child.tables.inbox(child.index),
            child.inbox_eventfds[child.index],
            Readers(child.tables.changes, child.reader_eventfds),
            self.resolver,
            flood_guard_of(child),
        )
        self.turn.taken_at = child.beaten_at
        self.tallies = Tallies(counters, self.layer, self.resolver, self.node.faults, sockets)
        self.duty = Duty(child, self.turn, self.poller, self.tallies, predecessors_of(child))
        self.duty.use_policy = self.use_policy
        self.neighbours = Neighbours(datagram_sockets(child.neighbours), self.turn, self.poller)
        chores = [self.tallies.take, self.watch_memory, self.let_scripts_go]
        self.turn.each_second.extend(chores)
        self.control_overload()
        self.follow_calls()
        self.questions = Questions(child, self.node)
        self.use_storage()
        child.prepare = self.prepare

    def control_overload(self) -> None:
        """Turn new work away when there is too much of it."""
        child, turn, shedder = self.child, self.turn, self.node.shedder
        shedder.salt = salt()
        shedder.use_rules(overload_rules(child.config))
        turn.each_second.append(OverloadWatch(shedder, turn.counters, child.log).look)
        turn.waits.append(EarlyDrop(shedder, lambda: turn.reading, turn.counters).follow)

    def use_storage(self) -> None:
        """What asks the database, or waits for it, if the configuration wants that."""
        child, node, turn = self.child, self.node, self.turn
        node.database = SqlQueries(self.questions.ask, node.counters)
        remote = remote_of(child, node, self.questions)
        if remote is not None:
            turn.waits.append(remote.expire)
        self.access = access_of(child, node, self.questions.ask)
        if self.access is not None:
            turn.each_second.append(self.access.turn)
        parking = parking_of(child, node)
        if parking is not None:
            turn.waits.append(parking.expire)

    def prepare(self, child: Child) -> Commit:
        """Make everything that another edition changes; the Commit puts it in its place.

        Whatever is under way goes on by what it began with, and its policy with it.
        """
        node, turn = self.node, self.turn
        config = child.config
        script = run_script(child.script, config.routing.script)
        identity = Identity(child.listeners, domains_of(child))
        rules, pipes, guard = rules_of(child), pipes_of(child), flood_guard_of(child)

        def commit() -> None:
            self.old_scripts.append(self.script)
            self.script = script
            self.use_policy()
            node.on_reply = script.on_reply
            node.identity, node.rules, node.pipes = identity, rules, pipes
            node.timer_c = float(config.limits.timer_c_seconds)
            node.layer.capacity = config.limits.transactions
            turn.use_guard(guard)
            node.shedder.use_rules(overload_rules(config))
            if node.dialogs is not None:
                node.dialogs.store.rules = dialog_rules_of(child)
            use_rules(child, node)
            if self.access is not None:
                self.access.begin_anew()

        return commit

    def use_policy(self) -> None:
        """Decide by the script, within the worker's orders."""
        self.turn.core.policy = self.duty.refuses(self.script.on_request)

    def let_scripts_go(self) -> None:
        """Free the policies that were replaced and that no call runs by any more."""
        if self.old_scripts:
            self.old_scripts = [each for each in self.old_scripts if not each.let_go()]

    def serve(self) -> int:
        """Turn after turn until told to leave; 0."""
        child, turn, duty = self.child, self.turn, self.duty
        # Edge by edge: what others have added to it need not be read.
        self.poller.register(turn.wake_fd, select.EPOLLIN | select.EPOLLET)
        for fd in (child.stop_fd, child.parent_fd):
            self.poller.register(fd, select.EPOLLIN)
        self.tallies.take()
        looked = -IDLE_SECONDS
        if not duty.stand_by():
            return 0
        while True:
            more = turn.take()
            if self.node.now - looked >= IDLE_SECONDS:
                looked = self.node.now
                child.beat()
                stays = duty.look()
                self.neighbours.attend(duty.order is Order.SERVE)
                if not stays:
                    return self.leave()
            if more:
                continue
            for fd, events in turn.rest(self.poller.poll):
                if fd == child.parent_fd:
                    return 0
                if fd == child.stop_fd:
                    duty.hear()
                    looked = -IDLE_SECONDS
                elif fd in self.resolver_fds:
                    self.node.set_time(time.monotonic(), time.time_ns() // 1_000_000)
                    self.resolver.process(
                        fd, bool(events & select.EPOLLIN), bool(events & select.EPOLLOUT)
                    )

    def leave(self) -> int:
        """See to what has come by now, and end."""
        for _ in range(LAST_TURNS):
            if not self.turn.take() and self.turn.inbox.empty:
                break
        self.tallies.take()
        return 0

    def watch_memory(self) -> None:
        """Give memory back after a flood."""
        self.ebb.watch(self.layer.taken)

    def follow_calls(self) -> None:
        """What has to be seen to again and again while calls are tracked."""
        tracker = self.node.dialogs
        if tracker is not None:
            self.turn.waits.append(tracker.store.pay)
            self.turn.each_second.append(partial(self.state_log.attend, tracker))

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


def datagram_sockets(listeners: list[list[int]]) -> list[DatagramSocket]:
    """Sockets over the descriptors of each listener."""
    return [DatagramSocket(fd, number) for number, fds in enumerate(listeners) for fd in fds]


def location_of(child: Child) -> LocationTable:
    """The table of phones; with sql-only a private one, for what has been fetched."""
    if child.config.storage.mode == SQL_ONLY:
        return private_location(child.config, f"worker-{child.index + 1}")
    return child.tables.location


def predecessors_of(child: Child) -> list[Predecessor]:
    """The workers that may have handed over calls before this one began, and the ways to them."""
    inboxes, kept = child.tables.inboxes, child.tables.kept
    return [
        Predecessor(elder.place, elder.generation, calls, inbox, elder.listeners)
        for elder in child.predecessors
        if (calls := kept[elder.place]) is not None and (inbox := inboxes[elder.place]) is not None
    ]


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
    priority.gather()
    return worker.serve()
