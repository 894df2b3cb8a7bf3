"""A request and its answers: the server side of one new request (RFC 3261 §16.3, §18.2).

`Exchange` holds what came and what has been done about it, answers, and makes the server
transaction when state has to be kept. Who decides stands above: policy_run.py, request.py.
"""

from __future__ import annotations

from proxy.constants import SIP_PORT, reason_phrase
from proxy.dialog.dialog import Dialog
from proxy.limits import bounds
from proxy.limits.counters import (
    LOOPS_DETECTED,
    SL_1XX_REPLIES,
    SL_SENT_REPLIES,
    TM_UAS_TRANSACTIONS,
    TOO_MANY_HOPS,
    TRANSACTIONS_REFUSED,
)
from proxy.routing.node import Node
from proxy.routing.relay import Relay
from proxy.routing.response_context import ForkUser, ResponseContext
from proxy.routing.route import prepare_routes
from proxy.sip.address import Address, address_of
from proxy.sip.header_ids import PROXY_REQUIRE
from proxy.sip.message import Message
from proxy.sip.patching import response
from proxy.sip.scanner import stands_alone
from proxy.transaction.layer import Transaction

RELAYED_HEADER_LINES = bounds.HEADER_LINES - 16  # the rest is for what we and the policy add


class Exchange(ForkUser):
    """One new request and what has been done about it so far."""

    def begin(self, node: Node, message: Message, source: Address, listener: int) -> None:
        """What `__init__` of the last subclass calls: `super()` is slow, compiled."""
        self.node = node
        self.message = message
        self.source = source
        self.listener = listener
        self.relaying = Relay.__new__(Relay)
        self.relaying.begin(node, message, listener)
        self.method = message.method
        self.server: Transaction | None = None
        self.context: ResponseContext | None = None
        self.answered = 0  # the final status that went upstream
        self.dropped = False
        self.elsewhere = False  # another worker has it
        self.cancelled = False
        self.waiting = False  # for the database; the answer will come without the policy
        self.own_route = False
        self.tracked: Dialog | None = None  # what an INVITE sets up, or what a request belongs to

    # -- before it goes on ----------------------------------------------------------------------

    def prepare(self) -> None:
        """§16.4: take our own entries off the Route."""
        self.own_route = prepare_routes(self.relaying)

    def passes(self) -> bool:
        """Whether Max-Forwards lets the request go on; nothing is answered."""
        return self.message.max_forwards != 0 and not self.relaying.has_looped()

    def may_be_relayed(self) -> bool:
        """§16.3: Max-Forwards, loops, Proxy-Require, our own bounds; answers what it refuses."""
        message = self.message
        if message.max_forwards == 0:
            self.refuse(483)
        elif self.relaying.has_looped():
            self.node.counters.add(LOOPS_DETECTED, 1)
            self.refuse(482)
        elif message.has(PROXY_REQUIRE):
            unsupported = b", ".join(message.values(PROXY_REQUIRE))
            self.refuse(420, b"Unsupported: " + unsupported + b"\r\n")
        elif message.header_count > RELAYED_HEADER_LINES:
            self.refuse(513)
        else:
            return True
        return False

    def hold(self) -> bool:
        """Make the server transaction, so that retransmissions end here; False if full (503).

        What stood alone until now may have been received by another worker than the owner of its
        Call-ID (R3). Then the owner gets it, begins anew, and here it is dropped.
        """
        if self.server is not None:
            return True
        if stands_alone(self.message.data) and self.handed_over():
            return False
        layer = self.node.layer
        if layer.crowded():
            self.node.counters.add(TRANSACTIONS_REFUSED, 1)
            self.refuse(503, b"Retry-After: 5\r\n")
            return False
        self.relaying.fix_via(self.source)
        self.server = layer.serve(self.message, self.reply_address(), self.listener, self)
        self.node.counters.add(TM_UAS_TRANSACTIONS, 1)
        if self.relaying.invite:
            self.answer(100, b"Trying", b"", b"")
        return True

    def handed_over(self) -> bool:
        """Whether the request belongs to another worker, and is there now."""
        hand_over = self.node.hand_over
        if hand_over is None:
            return False
        self.elsewhere = hand_over(self.listener, self.source.sockaddr, self.message.data)
        self.dropped = self.elsewhere
        return self.elsewhere

    def reply_address(self) -> Address:
        """Where responses go (§18.2.2, RFC 3581 §4): never further than the source's host."""
        port = self.message.sent_by_port() or SIP_PORT
        if port == self.source.port or self.message.wants_rport():
            return self.source
        return address_of(self.source.host, port)

    # -- answers --------------------------------------------------------------------------------

    def answer(self, status: int, reason: bytes, headers: bytes, body: bytes) -> None:
        """Answer the request; a second final answer is ignored."""
        if self.answered or self.dropped:
            return
        node = self.node
        tag = node.signer.own_tag(self.message) if status > 100 else b""
        via = self.relaying.fix_via(self.source)
        datagram = response(self.message, status, reason, tag, headers, body, via, False)
        if status >= 200:
            self.answered = status
            if status == 483:
                node.counters.add(TOO_MANY_HOPS, 1)
        if self.server is not None:
            self.server.respond(status, datagram, node.now)
            return
        node.layer.send(datagram, self.reply_address(), self.listener)
        node.counters.add(SL_SENT_REPLIES, 1)
        node.counters.add(SL_1XX_REPLIES + status // 100 - 1, 1)

    def refuse(self, status: int, headers: bytes = b"") -> None:
        """A final answer with the usual phrase."""
        self.answer(status, reason_phrase(status), headers, b"")

    def cancel(self, now: float) -> None:
        """A CANCEL came for this INVITE (§9.2, §16.10)."""
        self.cancelled = True
        if self.tracked is not None:
            self.tracked.cancelled = True
        context = self.context
        if context is not None:
            context.cancel(now)
            if context.open == 0 and not context.final_status and not self.answered:
                self.refuse(487)  # nothing rings, and the policy waits for something else
                context.end(487, now)
        elif not self.answered:
            self.refuse(487)
