"""A request that we send ourselves: its next hop is found, and somebody told how it was answered.

The transaction user of one client transaction (RFC 3261 §8.1). An INVITE gets its ACKs; one that
rings and is never answered is cancelled.
"""

from __future__ import annotations

from collections.abc import Callable

from proxy.errors import BadMessage, LocateError
from proxy.limits.counters import TM_UAC_TRANSACTIONS, TRANSACTIONS_REFUSED
from proxy.routing.locate import Located, literal, next_hop
from proxy.routing.node import Node
from proxy.sip.address import Address
from proxy.sip.message import Message, parse
from proxy.sip.patching import cancel_for
from proxy.sip.uri import parse_uri
from proxy.transaction.layer import Transaction, TransactionUser

UNANSWERED = 408
UNREACHABLE = 503
NOBODY = TransactionUser()

Build = Callable[[str, bytes], bytes]  # the datagram of a method with the Via line given


class OwnRequest(TransactionUser):
    """One request; `report` is called with its final status, once (0: nobody can say).

    `name` is what makes this request the one it is; `build` makes it, and its ACK.
    """

    def __init__(
        self, node: Node, method: str, name: bytes, build: Build, report: Callable[[int], None]
    ) -> None:
        self.node = node
        self.method = method
        self.name = name
        self.build = build
        self.report = report
        self.preferred = 0
        self.client: Transaction | None = None
        self.acknowledgement = b""
        self.finished = False

    @property
    def branch(self) -> bytes:
        """The branch of its Via."""
        return self.node.signer.own_branch(self.name)

    @property
    def is_under_way(self) -> bool:
        """Whether this very request has been sent and not been answered yet."""
        return self.node.layer.client_of(self.branch, self.method) is not None

    def send_to(self, uri: bytes, socket: bytes) -> None:
        """Send it to the next hop `uri`, from our listener `socket` if it is one."""
        self.preferred = self.node.identity.hostports.get(socket, 0)
        try:
            hop = next_hop(parse_uri(uri))
        except (BadMessage, LocateError):
            self.finish(UNREACHABLE)
            return
        address = literal(hop.host, hop.port)
        if address is not None:
            self._send(address)
        else:
            self.node.resolve(hop.host, hop.port, hop.transport, self._located)

    def _located(self, located: Located) -> None:
        if located.targets:
            self._send(located.targets[0])
        else:
            self.finish(UNREACHABLE)

    def _send(self, address: Address) -> None:
        node = self.node
        layer = node.layer
        listener = node.identity.listener_towards(address, self.preferred)
        if layer.full():
            node.counters.add(TRANSACTIONS_REFUSED, 1)
        if listener < 0 or layer.full():
            self.finish(UNREACHABLE)
            return
        datagram = self.build(self.method, self._via(listener, b""))
        self.client = layer.send_request(
            self.branch, self.method, datagram, address, listener, self, node.now
        )
        node.counters.add(TM_UAC_TRANSACTIONS, 1)
        if self.method == "INVITE":
            self.acknowledgement = self.build("ACK", self._via(listener, b"ACK"))
            layer.timers.start(node.now, layer.patience, self, 0)

    def _via(self, listener: int, suffix: bytes) -> bytes:
        """An ACK of a 2xx is a transaction of its own, with a branch of its own (§17.1.1.3)."""
        return self.node.identity.vias[listener] + self.branch + suffix + b"\r\n"

    # -- what becomes of it -------------------------------------------------------------------

    def response_received(self, client: Transaction, response: Message, now: float) -> None:
        """A response; every 2xx to an INVITE gets its ACK (§13.2.2.4)."""
        status = response.status
        if self.acknowledgement and 200 <= status < 300:
            self.node.layer.send(self.acknowledgement, client.address, client.listener)
        if status >= 200:
            self.finish(status)

    def timed_out(self, transaction: Transaction, now: float) -> None:
        """Nobody answered."""
        self.finish(UNANSWERED)

    def transport_failed(self, transaction: Transaction, now: float) -> None:
        """It could not leave."""
        self.finish(UNREACHABLE)

    def released(self, transaction: Transaction) -> None:
        """The transaction is over: let go of it."""
        self.client = None

    def fire(self, timer: int, now: float) -> None:
        """An INVITE that has had a provisional response and no other for too long."""
        client = self.client
        if self.finished or client is None:
            return
        self.finish(0)
        cancel = cancel_for(parse(client.datagram))
        self.node.layer.send_request(
            client.key, "CANCEL", cancel, client.address, client.listener, NOBODY, now, client.call
        )

    def finish(self, status: int) -> None:
        """Tell how it was answered."""
        if not self.finished:
            self.finished = True
            self.report(status)
