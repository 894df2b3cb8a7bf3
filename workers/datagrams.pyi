from proxy.shm.flood_guard import FloodGuard
from proxy.sip.address import Address
from proxy.transaction.layer import Transaction
from workers.handoff import Handoff

Incoming = tuple[int, bytes, int, bytes]
Outgoing = tuple[bytes, Address, int, Transaction | None]

def stops(guard: FloodGuard, sockaddr: bytes, data: bytes) -> bool: ...

class DatagramSocket:
    fd: int
    guard: FloodGuard | None
    listener: int
    segmenting: bool
    def __init__(self, fd: int, listener: int) -> None: ...
    waited_ns: int
    def receive(
        self,
        handoff: Handoff,
        now_ns: int,
        most_ns: int,
        batch: list[Incoming],
        limit: int = ...,
    ) -> int: ...
    def discard(self) -> int: ...
    def drops(self) -> int: ...
    def send(self, outbox: list[Outgoing], failed: list[Outgoing]) -> None: ...
