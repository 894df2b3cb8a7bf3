"""What the parts of a worker count for themselves, taken over into its counters.

Counting where it happens costs nothing there; once a second is often enough for whoever reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from proxy.limits import counters as ids
from proxy.registrar.binding import Faults
from proxy.shm.slots import Counters
from proxy.transaction.layer import TransactionLayer
from proxy.transaction.states import Tally
from workers.resolver import Resolver

if TYPE_CHECKING:
    from workers.datagrams import DatagramSocket

# A column of TransactionLayer.tallies and the counter it goes into.
LAYER: Final = (
    *((Tally.ENDED + digit, ids.TM_CLASS_TRANSACTIONS + digit) for digit in range(2, 7)),
    (Tally.RESENT_T1, ids.TM_RETRANSMISSION_REQ_T1_1),
    (Tally.RESENT_T1 + 1, ids.TM_RETRANSMISSION_REQ_T1_2),
    (Tally.RESENT_T1 + 2, ids.TM_RETRANSMISSION_REQ_T1_3),
    (Tally.RESENT_T2, ids.TM_RETRANSMISSION_REQ_T2),
    (Tally.REPEATED, ids.TM_RETRANSMISSION_RPL_T2),
    (Tally.UNANSWERED, ids.TM_TIMEOUT_FINALRESPONSE),
)
OTHERS: Final = (
    ids.DNS_QUERIES,
    ids.DNS_FAILURES,
    ids.TABLE_FULL,
    ids.LOCK_TIMEOUTS,
    ids.CORRUPT_RECORDS,
    ids.COMMIT_CONFLICTS,
)
COUNTERS: Final = (*(counter for _, counter in LAYER), *OTHERS)


class Tallies:
    """Carries one worker's tallies to its row; `take` may be called at any time."""

    def __init__(
        self,
        counters: Counters,
        transactions: TransactionLayer,
        resolver: Resolver,
        faults: Faults,
        sockets: Sequence[DatagramSocket],
    ) -> None:
        self._counters = counters
        self._transactions = transactions
        self._resolver = resolver
        self._faults = faults
        self._sockets = sockets
        self._taken = [0] * len(COUNTERS)
        self._drops_before: int | None = None  # None: the sockets are not ours to speak of

    def take(self) -> None:
        """Add what has come since the last time; say what the gauges read."""
        counters, transactions = self._counters, self._transactions
        counted = self._counted()
        for counter, now, before in zip(COUNTERS, counted, self._taken, strict=True):
            if now != before:
                counters.add(counter, now - before)
        self._taken = counted
        counters.set(
            ids.TM_INUSE_TRANSACTIONS, len(transactions.servers) + len(transactions.clients)
        )
        if self._drops_before is not None:
            unread = counters.get(ids.SHED_UNREAD)  # dropped because the worker wanted it
            counters.set(ids.RECEIVE_DROPS, self._drops() - self._drops_before - unread)

    def answer_for_sockets(self, drops_before: int | None) -> int:
        """Count from now on what the kernel drops; what it had dropped before this row's first.

        The kernel counts by socket, and sockets outlive workers, and their places. None: nobody
        has read these sockets in this place yet.
        """
        if drops_before is None:
            counted = self._counters.get(ids.RECEIVE_DROPS) + self._counters.get(ids.SHED_UNREAD)
            drops_before = self._drops() - counted
        self._drops_before = drops_before
        return drops_before

    def let_go_of_sockets(self) -> None:
        """Somebody else answers for them from now on."""
        self.take()
        self._drops_before = None

    def _drops(self) -> int:
        return sum(each.drops() for each in self._sockets)

    def _counted(self) -> list[int]:
        tallies, faults = self._transactions.tallies(), self._faults
        return [
            *(tallies[column] for column, _ in LAYER),
            self._resolver.queries,
            self._resolver.failures,
            faults.full,
            faults.lock_timeouts,
            faults.corrupt,
            faults.conflicts,
        ]
