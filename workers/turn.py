"""One turn of a UDP worker: all that happens between two sleeps.

Receive a batch from every socket, hand off what other workers own, take in what they handed to us,
run the core on all of it, fire due timers, send everything. Then sleep until something happens.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from proxy.limits.counters import (
    HANDED_IN,
    INBOX_WAKEUPS,
    NEIGHBOUR_DATAGRAMS,
    RECEIVED_DATAGRAMS,
    SEND_ERRORS,
    SENT_DATAGRAMS,
    STALE_DATAGRAMS,
    TURNS,
)
from proxy.routing.core import ProxyCore
from proxy.shm.changes import ChangeRing
from proxy.shm.flood_guard import FloodGuard
from proxy.shm.inbox import Inbox
from proxy.sip.address import Address
from proxy.transaction.layer import Transaction
from proxy.transaction.states import Stimulus
from workers.traffic import Traffic

if TYPE_CHECKING:
    from workers.datagrams import DatagramSocket, Incoming
    from workers.duty import Keeping
    from workers.handoff import Handoff
    from workers.resolver import Resolver

Outgoing = tuple[bytes, Address, int, Transaction | None]
Event = tuple[int, int]  # a descriptor and what epoll says of it

BATCH = 64
FEW = 16  # up to which they are acted on by portions
PORTION = 4
FEWEST = 8  # a turn takes in, however long each of them takes
LONG_TURN = 0.002  # seconds of work after which answers should be on their way
IDLE_SECONDS = 0.1  # the longest sleep: heartbeat, and a producer killed before it could wake us
STALE_SECONDS = 2.0  # between two turns: what waits then may have been sent as long ago
SECOND = 1.0
TRANSPORT_ERROR = int(Stimulus.TRANSPORT_ERROR)


class Readers:
    """Who follows the change ring, and the descriptors that wake them."""

    def __init__(self, changes: ChangeRing, eventfds: list[int]) -> None:
        self.changes = changes
        self.eventfds = eventfds

    def wake(self) -> None:
        """Wake those who have asked for it."""
        for reader in range(len(self.eventfds)):
            if self.changes.sleeps(reader):
                add_to(self.eventfds[reader])


class Turn:
    """The sockets, the inbox and the core of one worker, and what it does with them."""

    def __init__(
        self,
        core: ProxyCore,
        sockets: list[DatagramSocket],
        handoff: Handoff,
        inbox: Inbox,
        wake_fd: int,
        readers: Readers,
        resolver: Resolver,
        guard: FloodGuard | None,
    ) -> None:
        self.core = core
        self.node = core.node
        self.layer = core.node.layer
        self.counters = core.node.counters
        self.sockets = sockets
        self.reading: list[DatagramSocket] = []  # of these sockets
        self.by_descriptor: dict[int, DatagramSocket] = {}  # the same
        self.found: list[DatagramSocket] | None = None  # those epoll found readable; None: unasked
        self.senders = {sock.listener: sock for sock in reversed(sockets)}
        self.handoff = handoff
        self.inbox = inbox
        self.wake_fd = wake_fd
        self.readers = readers
        self.resolver = resolver
        self.neighbours: dict[int, DatagramSocket] = {}  # read when epoll says so
        self.lent: list[DatagramSocket] = []  # the neighbours' that were found readable
        self.use_guard(guard)
        self.waits: list[Callable[[float], None]] = []  # told the time: what may be over
        self.each_second: list[Callable[[], None]] = []
        self.second_at = 0.0
        self.taken_at = 0.0  # when it was last awake; 0: nothing waits that nobody looked after
        self.emptied_at = 0.0  # when the last turn began that left nothing unread
        self.traffic = Traffic(self.counters)
        self.waited_ns = 0  # how long the oldest of what this turn took in had waited
        self.standing_ns = 0  # the same where the turn could not take in all there was
        self.heard_at = 0.0  # when anything came in
        self.keeping: Keeping | None = None  # what others have to know before it is sent
        self.changed_at = 0
        self.most = BATCH  # to take in at a time
        self.worked = 0.0  # the processor time of this process after a turn that was full

    def take(self) -> bool:
        """Take in what is there, decide, fire timers, send; whether a batch was full."""
        received_ns = self.tell_time()
        stood_still = self.node.now - self.taken_at
        if stood_still > STALE_SECONDS and self.taken_at > 0:
            self.discard(stood_still)
        if self.emptied_at <= 0:
            self.emptied_at = self.taken_at if self.taken_at > 0 else self.node.now
        self.taken_at = self.node.now
        batch: list[Incoming] = []
        count = self.receive(received_ns, batch)
        more = self.standing_ns > 0
        handed_in = self.inbox.pop(self.most)
        if handed_in:
            self.counters.add(HANDED_IN, len(handed_in))
            handed_ns = handed_in[0][2]
            if handed_ns:  # else it is no datagram, or came with no time
                self.look_at(received_ns - handed_ns, len(handed_in) == self.most)
        self.watch_queues(received_ns)
        if handed_in:
            self.traffic.received(handed_in)
            self.core.receive_batch(handed_in)
        if batch:
            self.traffic.received(batch)
            self.act_on(batch)
        self.let_time_pass(self.node.now)
        if self.node.location.changed_at != self.changed_at:
            self.changed_at = self.node.location.changed_at
            self.readers.wake()
        if self.layer.outbox:
            self.flush()
        if count or handed_in:
            self.heard_at = self.taken_at
            self.counters.add(RECEIVED_DATAGRAMS, count)
            self.counters.add(TURNS, 1)
            self.traffic.settle(self.waited_ns, int((time.monotonic() - self.node.now) * 1e9))
        self.fit(self.standing_ns > 0)
        return more

    def act_on(self, batch: list[Incoming]) -> None:
        """Decide; of a few messages the first are answered before the last are looked at."""
        if len(batch) > FEW:
            self.core.receive_batch(batch)
            return
        for at in range(0, len(batch), PORTION):
            if self.layer.outbox:
                self.flush()
            self.core.receive_batch(batch[at : at + PORTION])

    def fit(self, is_full: bool) -> None:
        """Take in fewer at a time if each takes long: what has to be sent waits for the last."""
        before = self.worked
        self.worked = time.thread_time() if is_full else 0.0
        took = self.worked - before if before > 0 else 0.0
        if took > LONG_TURN:
            self.most = max(self.most // 2, FEWEST)
        elif took < LONG_TURN / 4:
            self.most = min(self.most * 2, BATCH)

    def receive(self, now_ns: int, batch: list[Incoming]) -> int:
        """Read each socket that may have something; how many datagrams, ours and others'."""
        now = self.node.now
        # What the wall clock says of the past is believed no further than this.
        most_ns = int((now - self.emptied_at) * 1e9)
        count = 0
        self.waited_ns = self.standing_ns = 0
        reading = self.reading if self.found is None else self.found
        self.found = None
        for sock in reading:
            received = sock.receive(self.handoff, now_ns, most_ns, batch, self.most)
            if received:
                count += received
                self.look_at(sock.waited_ns, received == self.most)
        if self.standing_ns == 0:
            self.emptied_at = now
        if self.lent:
            count += self.help_out(now_ns, most_ns, batch)
        if len(batch) < count:
            self.handoff.wake()
        return count

    def look_at(self, waited_ns: int, is_full: bool) -> None:
        """The oldest of a batch has waited so long; a full batch leaves more behind."""
        self.waited_ns = max(self.waited_ns, waited_ns)
        if is_full:
            self.standing_ns = max(self.standing_ns, waited_ns, 1)

    def watch_queues(self, now_ns: int) -> None:
        """Let the shedder know how long messages have waited by now."""
        shedder = self.node.shedder
        waited, standing = self.waited_ns / 1e9, self.standing_ns / 1e9
        shedder.observe(waited, standing, self.node.now)
        shedder.date(waited, standing, now_ns)

    def help_out(self, now_ns: int, most_ns: int, batch: list[Incoming]) -> int:
        """Read the neighbours' sockets that nobody else is awake for."""
        count = 0
        for sock in self.lent:
            count += sock.receive(self.handoff, now_ns, most_ns, batch)
        self.lent = []
        self.counters.add(NEIGHBOUR_DATAGRAMS, count)
        return count

    def discard(self, stood_still: float) -> None:
        """Throw away what came while this process was stopped, or could not run.

        Whoever sent it sends it again, or has long turned to another node: an old REGISTER would
        undo what that one has accepted since.
        """
        count = 0
        for sock in (*self.reading, *self.neighbours.values()):
            count += sock.discard()
        self.counters.add(STALE_DATAGRAMS, count)
        self.node.log.warning("stood still", seconds=round(stood_still, 1), dropped=count)

    def use_guard(self, guard: FloodGuard | None) -> None:
        """Let another guard watch the sockets: whom it trusts has changed."""
        self.guard = guard
        for sock in (*self.sockets, *self.neighbours.values()):
            sock.guard = guard

    def tell_time(self) -> int:
        """Tell everybody what time it is; the wall clock in nanoseconds."""
        wall_ns = time.time_ns()
        self.node.set_time(time.monotonic(), wall_ns // 1_000_000)
        if self.guard is not None:
            self.guard.now_ms = int(self.node.now * 1_000)
        return wall_ns

    def let_time_pass(self, now: float) -> None:
        """Fire what is due; an exception costs the timer that raised it and no more."""
        try:
            self.layer.timers.fire_due(now)
            if self.resolver.running or self.resolver.waiting:
                self.resolver.expire()
            for expire in self.waits:
                expire(now)
        except Exception as error:  # noqa: BLE001 - one transaction must not end a worker
            self.core.survive(error)
        if now >= self.second_at:
            self.second_at = now + SECOND
            for act in self.each_second:
                act()

    def flush(self) -> None:
        """Send the outbox, each listener's part by its own socket."""
        outbox = self.layer.outbox
        self.layer.outbox = []
        if self.keeping is not None:
            self.keeping.note(outbox)
        failed: list[Outgoing] = []
        if len(self.senders) == 1:
            self.sockets[0].send(outbox, failed)
        else:
            for listener, sender in self.senders.items():
                sender.send([entry for entry in outbox if entry[2] == listener], failed)
        self.traffic.sent(outbox)
        self.counters.add(SENT_DATAGRAMS, len(outbox) - len(failed))
        if failed:
            self.report(failed)

    def report(self, failed: list[Outgoing]) -> None:
        """Tell transactions that their datagram could not leave (§17.1.4)."""
        self.counters.add(SEND_ERRORS, len(failed))
        for _, address, _, transaction in failed:
            self.node.log.warning("send failed", address=address.hostport)
            if transaction is not None:
                try:
                    self.layer.drive(transaction, TRANSPORT_ERROR, None, self.node.now)
                except Exception as error:  # noqa: BLE001 - as in let_time_pass
                    self.core.survive(error)

    def rest(self, poll: Callable[[float], list[Event]]) -> list[Event]:
        """Sleep by `poll` until something happens; what has, on other than our own descriptors."""
        if not self.inbox.announce_sleep():
            return []
        ready = poll(self.patience())
        self.inbox.awake()
        self.found = []
        others: list[Event] = []
        for event in ready:
            fd = event[0]
            if fd in self.by_descriptor:
                self.found.append(self.by_descriptor[fd])
            elif fd == self.wake_fd:
                self.counters.add(INBOX_WAKEUPS, 1)
            elif fd in self.neighbours:
                self.lent.append(self.neighbours[fd])
            else:
                others.append(event)
        return others

    def patience(self) -> float:
        """How long the worker may sleep, seconds."""
        if self.layer.outbox:  # what came of a datagram that could not be sent
            return 0.0
        wait = IDLE_SECONDS
        deadline = self.layer.timers.next_deadline()
        if deadline is not None:
            wait = min(wait, deadline - time.monotonic())
        if self.resolver.running or self.resolver.waiting:
            wait = min(wait, self.resolver.timeout() or 0.0)
        return max(wait, 0.0)


def add_to(eventfd: int) -> None:
    """Wake whoever waits for this descriptor."""
    try:  # noqa: SIM105 - a context manager costs as much as the rest of a turn
        os.eventfd_write(eventfd, 1)
    except BlockingIOError:
        pass  # its count is at the maximum: it has been told often enough
