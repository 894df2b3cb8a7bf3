from collections.abc import Sequence

from proxy.shm.flood_guard import FloodGuard
from proxy.shm.inbox import Inbox
from proxy.shm.kept_calls import KeptCalls
from proxy.shm.shards import Shards
from proxy.shm.slots import Counters
from proxy.sip.address import Address
from proxy.transaction.layer import Transaction

Incoming = tuple[int, bytes, int, bytes]
Outgoing = tuple[bytes, Address, int, Transaction | None]

class Predecessor:
    place: int
    def __init__(
        self, place: int, kept: KeptCalls, inbox: Inbox, listeners: tuple[int, ...]
    ) -> None: ...

class Handoff:
    index: int
    shards: Shards
    def __init__(
        self,
        index: int,
        shards: Shards,
        inboxes: Sequence[Inbox | None],
        eventfds: list[int],
        counters: Counters,
        handed_off: int,
        inbox_full: int,
    ) -> None: ...
    def precede(self, predecessors: list[Predecessor]) -> None: ...
    def hand_over(self, listener: int, sockaddr: bytes, data: bytes) -> bool: ...
    def wake(self) -> None: ...

def stops(guard: FloodGuard, sockaddr: bytes, data: bytes) -> bool: ...

class DatagramSocket:
    fd: int
    guard: FloodGuard | None
    listener: int
    segmenting: bool
    def __init__(self, fd: int, listener: int) -> None: ...
    def receive(self, handoff: Handoff, received_ns: int, batch: list[Incoming]) -> int: ...
    def discard(self) -> int: ...
    def drops(self) -> int: ...
    def send(self, outbox: list[Outgoing], failed: list[Outgoing]) -> None: ...
