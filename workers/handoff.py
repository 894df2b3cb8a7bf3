"""Who owns a call, and the way to each owner's inbox.

What most likely needs no state stays where it was received, and is spared the way and a wake-up; if
it does need some, `hand_over` sends it after all. Under a backlog it goes to its owner as well, so
that the work spreads. Calls that were under way when other workers came stay with who has them.
"""

from __future__ import annotations

import os

from proxy.limits import counters as ids
from proxy.shm import inbox as rings
from proxy.shm.inbox import Inbox
from proxy.shm.kept_calls import KeptCalls
from proxy.shm.shards import Shards
from proxy.shm.slots import Counters
from proxy.sip.scanner import call_id_hash

HANDED_OFF = ids.HANDED_OFF
INBOX_FULL = ids.INBOX_FULL
FULL = rings.FULL
WAKE = rings.WAKE


class Predecessor:
    """A worker that has handed over: the calls that it keeps, and the way to it.

    `listeners` holds its number of each of our listeners, -1 for one that it does not know.
    """

    def __init__(
        self,
        place: int,
        generation: int,
        kept: KeptCalls,
        inbox: Inbox,
        listeners: tuple[int, ...],
    ) -> None:
        self.place = place
        self.generation = generation
        self.kept = kept
        self.inbox = inbox
        self.listeners = listeners


class Handoff:
    """Takes this worker's place, the shard table, the inbox and the eventfd of every place, and
    the worker's counters."""

    def __init__(
        self,
        index: int,
        shards: Shards,
        inboxes: list[Inbox | None],
        eventfds: list[int],
        counters: Counters,
    ) -> None:
        self.index = index
        self.shards = shards
        self.inboxes = inboxes
        self.eventfds = eventfds
        self.counters = counters
        self.sleepers: dict[int, Inbox] = {}
        self.predecessors: list[Predecessor] | None = None

    def precede(self, predecessors: list[Predecessor]) -> None:
        """These workers have handed over: the calls that they keep are theirs."""
        self.predecessors = predecessors or None

    def hand_over(self, listener: int, sockaddr: bytes, data: bytes) -> bool:
        """As pass_on, for a request that turns out to need state; wakes the owner at once."""
        if not self.pass_on(listener, sockaddr, 0, data):
            return False
        self.wake()
        return True

    def pass_on(self, listener: int, sockaddr: bytes, received_ns: int, data: bytes) -> bool:
        """True if the datagram belongs to another worker and is no longer ours."""
        call = call_id_hash(data)
        if self.predecessors is not None and self.pass_back(
            call, listener, sockaddr, received_ns, data
        ):
            return True
        owner = self.shards.owner(call)
        if owner == self.index or owner >= len(self.inboxes):
            return False
        inbox = self.inboxes[owner]
        if inbox is None:
            return False
        self.put(owner, inbox, listener, sockaddr, received_ns, data)
        return True

    def pass_back(
        self, call: int, listener: int, sockaddr: bytes, received_ns: int, data: bytes
    ) -> bool:
        """True if a worker that has handed over keeps this call, and got the datagram."""
        for each in self.predecessors or ():
            if each.kept.has(call):
                number = each.listeners[listener]
                if number >= 0:
                    self.put(each.place, each.inbox, number, sockaddr, received_ns, data)
                    return True
        return False

    def put(
        self,
        place: int,
        inbox: Inbox,
        listener: int,
        sockaddr: bytes,
        received_ns: int,
        data: bytes,
    ) -> None:
        """Leave a datagram in another worker's inbox, or lose it as a full socket does."""
        outcome = inbox.push(listener, sockaddr, received_ns, data)
        if outcome == FULL:
            self.counters.add(INBOX_FULL, 1)
            return
        self.counters.add(HANDED_OFF, 1)
        if outcome == WAKE:
            self.sleepers[place] = inbox

    def wake(self) -> None:
        """Wake the owners that were asleep when something was put into their inbox."""
        for owner, inbox in self.sleepers.items():
            sleep = inbox.sleep()
            if sleep:
                try:  # noqa: SIM105 - as in turn.add_to
                    os.eventfd_write(self.eventfds[owner], 1)
                except BlockingIOError:
                    pass  # its count is at the maximum: it has been told often enough
                inbox.woken(sleep)
        self.sleepers.clear()
