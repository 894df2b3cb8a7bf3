"""What a worker has been ordered to do, and how far it has come with it.

A worker prepares, serves, and one day takes on nothing new: because others have taken its place and
read its sockets, or because the server stops. Then it goes on with the calls that are under way,
says how many those are, and leaves when it is told to. The orders stand in proxy/shm/places.py.
"""

from __future__ import annotations

import os
import random
import select
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from proxy.limits.counters import REFUSED_STOPPING
from proxy.shm.kept_calls import KeptCalls
from proxy.shm.places import Order, Phase
from proxy.sip.scanner import call_id_hash
from proxy.transaction.layer import TransactionLayer

if TYPE_CHECKING:
    from proxy.routing.request import Policy
    from proxy.shm.slots import Counters
    from workers.child import Child
    from workers.handoff import Predecessor
    from workers.tallies import Tallies
    from workers.turn import Outgoing, Turn

BEAT_MS: Final = 100
SWEEP_S: Final = 1.0
QUIET_S: Final = 1.0  # in which the ACK of a 200 that was sent comes back
RETRY_AFTER: Final = (5, 15)  # seconds: by then another node has the address, or this one is back
AWAY: Final = frozenset({Order.HAND_OVER, Order.CLOSE})


class Keeping:
    """The calls of a worker whose sockets others read: published, so that they come back here."""

    def __init__(self, kept: KeptCalls, layer: TransactionLayer) -> None:
        self.kept = kept
        self.layer = layer
        self.calls: set[int] = set()
        for call in layer.calls():
            self.add(call)

    def add(self, call: int) -> None:
        """Keep one more; what the set has no room for is recognised by its branches (R4)."""
        if call not in self.calls and self.kept.add(call):
            self.calls.add(call)

    def note(self, outbox: list[Outgoing]) -> None:
        """Before these are sent: their answers are to come here."""
        for data, _, _, transaction in outbox:
            if transaction is not None:
                self.add(transaction.call or call_id_hash(data))

    def sweep(self) -> None:
        """Let go of the calls that have ended."""
        ended = self.calls - self.layer.calls()
        for call in ended:
            self.kept.remove(call)
        self.calls -= ended


class Duty:
    """One worker's orders, and what follows from them."""

    def __init__(
        self,
        child: Child,
        turn: Turn,
        poller: select.epoll,
        tallies: Tallies,
        predecessors: list[Predecessor],
    ) -> None:
        self.child = child
        self.tallies = tallies
        self.predecessors = predecessors
        self.places = child.tables.places
        self.place = child.index
        self.turn = turn
        self.node = turn.node
        self.poller = poller
        self.order = Order.PREPARE
        self.seen = -1
        self.swept_at = 0.0
        self.keeping: Keeping | None = None
        self.use_policy: Callable[[], None] = _nothing  # called when refuses() has changed

    # -- before it serves --------------------------------------------------------------------------

    def stand_by(self) -> bool:
        """Wait until there is something to do; False when there never will be."""
        self.places.reach(self.place, Phase.READY)
        poll = select.poll()
        for fd in (self.child.stop_fd, self.child.parent_fd):
            poll.register(fd, select.POLLIN)
        while True:
            order = self.places.ordered(self.place)
            self.child.beat()  # after the look: what holds by then is taken over before it serves
            if order is not Order.PREPARE:
                return order is not Order.LEAVE
            for fd, _ in poll.poll(BEAT_MS):
                if fd == self.child.parent_fd:
                    return False
                self.hear()

    def hear(self) -> None:
        """The supervisor has rung: there are orders."""
        with suppress(BlockingIOError):
            os.eventfd_read(self.child.stop_fd)

    # -- orders ------------------------------------------------------------------------------------

    def look(self) -> bool:
        """Do what is ordered by now, and say so; False: leave."""
        version, order = self.places.version, self.places.ordered(self.place)
        if order is not self.order:
            before, self.order = self.order, order
            if before is Order.PREPARE and order is not Order.LEAVE:
                self.serve()
            if order in AWAY and before not in AWAY:
                self.hand_over()
            elif order is Order.REFUSE:
                self.use_policy()
        if version != self.seen:
            self.notice()
        if order is Order.LEAVE:
            return False
        if self.order is not Order.SERVE:
            self.report()
        if version != self.seen:
            self.seen = version
            self.places.see(self.place, version)
        return True

    def serve(self) -> None:
        """From now on the sockets are ours."""
        self.read_only(self.turn.sockets)
        before = self.tallies.answer_for_sockets(self.places.drops(self.place))
        self.places.note_drops(self.place, before)
        self.places.reach(self.place, Phase.SERVING)

    def read_only(self, wanted: list[Any]) -> None:
        """Read these sockets, and no others."""
        wanted_fds = {each.fd: each for each in wanted}
        before = self.turn.by_descriptor
        for fd in before.keys() - wanted_fds.keys():
            self.poller.unregister(fd)
        for fd in wanted_fds.keys() - before.keys():
            # of those who sleep and would read it, the kernel wakes one (neighbours.py)
            self.poller.register(fd, select.EPOLLIN | select.EPOLLEXCLUSIVE)
        self.turn.reading, self.turn.by_descriptor = wanted, wanted_fds

    def hand_over(self) -> None:
        """Others read our sockets from now on; what is under way stays here, whoever asks."""
        self.tallies.let_go_of_sockets()
        handoff = self.turn.handoff
        handoff.shards = handoff.shards.copy()  # ours, as they were; the table is others' now
        kept = self.child.tables.kept[self.place]
        assert kept is not None
        self.keeping = self.turn.keeping = Keeping(kept, self.node.layer)

    def notice(self) -> None:
        """Something has changed that others do: who came before us, and who reads what."""
        places = self.places
        self.turn.handoff.precede(
            [each for each in self.predecessors if places.ordered(each.place) is Order.HAND_OVER]
        )
        if self.order in AWAY:
            ours = places.listeners(self.place)
            self.read_only([each for each in self.turn.sockets if ours >> each.listener & 1])
            self.use_policy()

    # -- what is still to do -----------------------------------------------------------------------

    def report(self) -> None:
        """Say how much is under way."""
        now = self.node.now
        if self.keeping is not None and now >= self.swept_at + SWEEP_S:
            self.swept_at = now
            self.keeping.sweep()
        unfinished = self.unfinished()
        phase = Phase.DRAINING if unfinished or self.may_be_asked_again() else Phase.EMPTY
        self.places.reach(self.place, phase, unfinished)

    def unfinished(self) -> int:
        """How many requests wait for an answer here."""
        node = self.node
        parked = len(node.parking.queue) if node.parking is not None else 0
        return node.pendings.open + parked + node.layer.unfinished()

    def may_be_asked_again(self) -> bool:
        """Whether something may still come that only this worker knows how to take."""
        node, layer = self.node, self.node.layer
        if not self.places.stopping:
            return bool(len(layer.servers) + len(layer.clients))
        return node.now - self.turn.heard_at < QUIET_S and bool(layer.servers.of("INVITE"))

    def refuses(self, policy: Policy) -> Policy:
        """The policy as it is applied: what is new is refused while the worker takes on nothing."""
        if self.order is Order.REFUSE:
            return refusing(policy, None, self.node.counters)
        if self.order in AWAY and self.turn.reading:
            closing = frozenset(each.listener for each in self.turn.reading)
            return refusing(policy, closing, self.node.counters)
        return policy


def refusing(policy: Policy, listeners: frozenset[int] | None, counters: Counters) -> Policy:
    """A policy that refuses what is no dialog's; with `listeners`, what came in by one of them."""

    async def decide(request: Any) -> None:
        if request.in_dialog or (listeners is not None and request.listener not in listeners):
            await policy(request)
            return
        counters.add(REFUSED_STOPPING, 1)
        request.reply(503, headers=b"Retry-After: %d\r\n" % random.randint(*RETRY_AFTER))

    return decide


def _nothing() -> None:
    pass
