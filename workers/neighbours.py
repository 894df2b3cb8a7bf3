"""Help between workers: one that has time reads what another has not woken for yet.

While little comes in, each datagram wakes a worker, and waits for as long as the kernel takes to
run that very one: milliseconds, when its processor is busy with something else. So every worker
also watches the sockets of its neighbour, and of the two the kernel wakes the one that sleeps. When
much comes in, datagrams gather while a worker is at work, which costs less for each; then nobody
helps.
"""

from __future__ import annotations

import select
from typing import TYPE_CHECKING, Final

from proxy.limits.counters import RECEIVED_DATAGRAMS, TURNS

if TYPE_CHECKING:
    from workers.datagrams import DatagramSocket
    from workers.turn import Turn

GATHERED: Final = 4  # datagrams a turn from which on they gather
SINGLE: Final = 2  # and below which they come one by one


class Neighbours:
    """The sockets of the next worker, watched by epoll or not."""

    def __init__(self, sockets: list[DatagramSocket], turn: Turn, poller: select.epoll) -> None:
        self.sockets = {each.fd: each for each in sockets}
        self.turn = turn
        self.poller = poller
        self.taken = self.turns = 0

    def attend(self, serves: bool) -> None:
        """Called at each heartbeat, and at once when this worker has ceased to read sockets."""
        counters = self.turn.counters
        turns, taken = counters.get(TURNS), counters.get(RECEIVED_DATAGRAMS)
        wanted = serves and helps(
            bool(self.turn.neighbours), turns - self.turns, taken - self.taken
        )
        self.turns, self.taken = turns, taken
        if wanted and not self.turn.neighbours:
            for fd, sock in self.sockets.items():
                sock.guard = self.turn.guard
                self.poller.register(fd, select.EPOLLIN | select.EPOLLEXCLUSIVE)
            self.turn.neighbours = self.sockets
        elif not wanted and self.turn.neighbours:
            for fd in self.sockets:
                self.poller.unregister(fd)
            self.turn.neighbours, self.turn.lent = {}, []


def helps(helped: bool, turns: int, taken: int) -> bool:
    """Whether to watch the neighbour's sockets, after so many turns took in so many datagrams."""
    return taken <= (GATHERED if helped else SINGLE) * turns
