"""The way of a datagram to the worker that owns its call (R3)."""

from __future__ import annotations

import os

from proxy.shm.inbox import Inbox
from proxy.shm.shards import Shards
from proxy.shm.slots import Counters
from proxy.sip.scanner import call_id_hash


class Handoff:
    """Who owns a call, and the way to each owner's inbox.

    What most likely needs no state stays where it was received, and is spared the way and a
    wake-up; if it does need some, `hand_over` sends it after all. Under a backlog it goes to its
    owner as well, so that the work spreads.

    Takes this worker's index, the shard table, every worker's inbox and its eventfd, and the
    counter row with the two columns for messages handed off and inboxes found full.
    """

    def __init__(
        self,
        index: int,
        shards: Shards,
        inboxes: list[Inbox],
        eventfds: list[int],
        counters: Counters,
        handed_off: int,
        inbox_full: int,
    ) -> None:
        self.index = index
        self.shards = shards
        self.inboxes = inboxes
        self.eventfds = eventfds
        self.counters = counters
        self.handed_off = handed_off
        self.inbox_full = inbox_full
        self.sleepers: set[int] = set()

    def hand_over(self, listener: int, sockaddr: bytes, data: bytes) -> bool:
        """As pass_on, for a request that turns out to need state; wakes the owner at once."""
        if not self.pass_on(listener, sockaddr, 0, data):
            return False
        self.wake()
        return True

    def pass_on(self, listener: int, sockaddr: bytes, received_ns: int, data: bytes) -> bool:
        """True if the datagram belongs to another worker and is no longer ours."""
        owner = self.shards.owner(call_id_hash(data))
        if owner == self.index or owner >= len(self.inboxes):
            return False
        inbox = self.inboxes[owner]
        outcome = inbox.push(listener, sockaddr, received_ns, data)
        if outcome == 0:
            self.counters.add(self.inbox_full, 1)
        else:
            self.counters.add(self.handed_off, 1)
            if outcome == 2:
                self.sleepers.add(owner)
        return True

    def wake(self) -> None:
        """Wake the owners that were asleep when something was put into their inbox."""
        for owner in self.sleepers:
            try:  # noqa: SIM105 - a context manager costs more than the rest
                os.eventfd_write(self.eventfds[owner], 1)
            except BlockingIOError:
                pass  # its count is at the maximum: the owner has been told often enough
        self.sleepers.clear()
