"""A request on its way through the policy: what `conf/routing.py` sees and calls.

The policy is `async def on_request(request)`. It answers (`reply`, `save`), sends the request on
(`relay`), or drops it. Awaiting `relay` gives the outcome: after a failure the policy may relay
again or answer itself; if it does neither, the best response goes upstream.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from proxy.constants import REASONS, SIP_PORT
from proxy.errors import BadMessage, BadUri
from proxy.limits import bounds
from proxy.limits import counters as ids
from proxy.limits.counters import (
    LOOPS_DETECTED,
    REGISTRAR_ACCEPTED_REGS,
    REGISTRAR_REJECTED_REGS,
    SL_1XX_REPLIES,
    SL_SENT_REPLIES,
    TM_UAS_TRANSACTIONS,
    TOO_MANY_HOPS,
    TRANSACTIONS_REFUSED,
)
from proxy.registrar.lookup import Target, lookup, target_for
from proxy.registrar.save import save
from proxy.routing.node import Node
from proxy.routing.pending import Pending
from proxy.routing.relay import Relay
from proxy.routing.response_context import ForkUser, ResponseContext
from proxy.routing.route import prepare_routes
from proxy.sip.address import Address, address_of
from proxy.sip.header_ids import PROXY_REQUIRE, ROUTE
from proxy.sip.message import Message
from proxy.sip.patching import response
from proxy.sip.uri import Uri, aor_key, parse_uri
from proxy.transaction.layer import Transaction

RELAYED_HEADER_LINES = bounds.HEADER_LINES - 16  # the rest is for what we and the policy add

Policy = Callable[["Request"], Coroutine[Any, Any, None]]


class Outcome(Pending):
    """How a relay ended; await it. `status` 0 means: not yet."""

    def __init__(self) -> None:
        super().__init__()
        self.status = 0
        self.under_way = True

    def outcome(self) -> Outcome:
        """What `await` gives: itself."""
        return self

    def end(self, status: int) -> None:
        """The relay is over."""
        self.status = status
        self.finish(None)


ENDED = Outcome()  # in the place of an awaited outcome: the policy has come to its end


class Request(ForkUser):
    """One new request and what has been done about it so far."""

    def __init__(self, node: Node, message: Message, source: Address, listener: int) -> None:
        self.node = node
        self.message = message
        self.source = source
        self.listener = listener
        self.relaying = Relay(node, message, listener)
        self.method = message.method
        self.server: Transaction | None = None
        self.context: ResponseContext | None = None
        self.coroutine: Iterator[Pending] | None = None
        self.awaited: Pending | None = None
        self.outcome: Outcome | None = None
        self.answered = 0  # the final status that went upstream
        self.dropped = False
        self.cancelled = False
        self.own_route = False
        self._uri: Uri | None = None

    # -- what a policy asks -------------------------------------------------------------------

    @property
    def uri(self) -> Uri:
        """The Request-URI, parsed."""
        if self._uri is None:
            self._uri = parse_uri(self.relaying.request_uri)
        return self._uri

    @property
    def last_hop(self) -> bool:
        """Whether Max-Forwards says that nobody may send it on."""
        return self.message.max_forwards == 0

    @property
    def in_dialog(self) -> bool:
        """Whether there is a To tag."""
        return len(self.message.to_tag) > 0

    @property
    def is_for_us(self) -> bool:
        """Whether the Request-URI names one of our domains or listeners."""
        return self.node.identity.is_ours(self.uri)

    @property
    def is_from_us(self) -> bool:
        """Whether the From URI names one of our domains."""
        return self.node.identity.is_ours(parse_uri(self.message.from_addr.uri))

    @property
    def has_route(self) -> bool:
        """Whether Route values are left after our own have been taken off."""
        return len(self.relaying.routes()) > 0

    @property
    def came_by_our_route(self) -> bool:
        """Whether the Route was one of ours, with the cookie of this dialog."""
        return self.own_route

    def lookup(self) -> list[Target]:
        """The registered contacts of the Request-URI that take this method, best q first."""
        node = self.node
        return lookup(node.location, aor_key(self.uri), self.method, node.wall, node.faults)

    # -- what a policy does -------------------------------------------------------------------

    def record_route(self) -> None:
        """Stay in the path of the dialog's later requests (§16.6 step 4)."""
        self.relaying.record_route = True

    def add_header(self, name: bytes, value: bytes) -> None:
        """Add a header line to what will be relayed."""
        line = name + b": " + value
        if b"\r" in line or b"\n" in line or not name or b":" in name:
            raise ValueError("a header line holds no line ends, and its name no colon")
        self.relaying.insert += line + b"\r\n"

    def reply(self, status: int, reason: str = "", headers: bytes = b"", body: bytes = b"") -> None:
        """Answer the request; `headers` are whole lines, CRLF included."""
        if not 100 <= status <= 699:
            raise ValueError(f"a status is 100 to 699, not {status}")
        if "\r" in reason or "\n" in reason:
            raise ValueError("a reason holds no line ends")
        if headers and not headers.endswith(b"\r\n"):
            raise ValueError("headers are whole lines, CRLF included")
        phrase = reason.encode() if reason else REASONS.get(status, b"Unknown")
        self.answer(status, phrase, headers, body)

    def answer(self, status: int, reason: bytes, headers: bytes, body: bytes) -> None:
        """`reply`, with the reason phrase as bytes; a second final answer is ignored."""
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

    def save(self) -> None:
        """Register: RFC 3261 §10.3, and answer."""
        node = self.node
        local = node.identity.listeners[self.listener].hostport
        result = save(
            node.location,
            self.message,
            self.source,
            local,
            node.wall,
            node.wall_ms,
            node.rules,
            node.clock,
            node.faults,
        )
        accepted = result.status < 300
        node.counters.add(REGISTRAR_ACCEPTED_REGS if accepted else REGISTRAR_REJECTED_REGS, 1)
        self.answer(result.status, result.reason, result.headers, b"")

    def drop(self) -> None:
        """Do not answer at all."""
        self.dropped = True

    def relay(self, targets: list[Target] | None = None) -> Outcome:
        """Send the request on (§16): to `targets`, else along its Route or to its Request-URI.

        While another relay is under way this one joins it.
        """
        for target in targets or ():
            if not isinstance(target, Target):
                raise TypeError(f"relay takes what lookup() or target_for() made, not {target!r}")
        outcome = self.outcome
        if outcome is None or outcome.status:
            outcome = self.outcome = Outcome()
        if self.cancelled:
            self.reply(487)
        if self.answered or self.dropped or not self.may_be_relayed() or not self.hold():
            outcome.end(self.answered or 500)
            return outcome
        context = self.context
        if context is None:
            assert self.server is not None
            context = self.context = ResponseContext(self.node, self.relaying, self.server, self)
        if targets is None:
            context.start_one(target_for(self.relaying.request_uri), self.node.now)
        elif len(targets) == 1:
            context.start_one(targets[0], self.node.now)
        elif targets:
            context.start(targets, self.node.now)
        elif not context.open:
            self.reply(480)
            outcome.end(480)
        return outcome

    # -- the machinery below a policy ---------------------------------------------------------

    def may_be_relayed(self) -> bool:
        """§16.3: Max-Forwards, loops, Proxy-Require, our own bounds; answers what it refuses."""
        message = self.message
        if message.max_forwards == 0:
            self.reply(483)
        elif self.relaying.has_looped():
            self.node.counters.add(LOOPS_DETECTED, 1)
            self.reply(482)
        elif message.has(PROXY_REQUIRE):
            unsupported = b", ".join(message.values(PROXY_REQUIRE))
            self.reply(420, headers=b"Unsupported: " + unsupported + b"\r\n")
        elif message.header_count > RELAYED_HEADER_LINES:
            self.reply(513)
        else:
            return True
        return False

    def hold(self) -> bool:
        """Make the server transaction, so that retransmissions end here; False if full (503)."""
        if self.server is not None:
            return True
        layer = self.node.layer
        if layer.crowded():
            self.node.counters.add(TRANSACTIONS_REFUSED, 1)
            self.reply(503, headers=b"Retry-After: 5\r\n")
            return False
        self.relaying.fix_via(self.source)
        self.server = layer.serve(self.message, self.reply_address(), self.listener, self)
        self.node.counters.add(TM_UAS_TRANSACTIONS, 1)
        if self.method == "INVITE":
            self.answer(100, b"Trying", b"", b"")
        return True

    def reply_address(self) -> Address:
        """Where responses go (§18.2.2, RFC 3581 §4): never further than the source's host."""
        port = self.message.sent_by_port() or SIP_PORT
        if port == self.source.port or self.message.wants_rport():
            return self.source
        return address_of(self.source.host, port)

    def passes(self) -> bool:
        """Whether Max-Forwards lets the request go on; nothing is answered."""
        return self.message.max_forwards != 0 and not self.relaying.has_looped()

    def prepare(self) -> None:
        """§16.4: take our own entries off the Route."""
        self.own_route = prepare_routes(self.relaying)

    def run(self, policy: Policy) -> None:
        """Give the request to the policy."""
        if self.message.has(ROUTE):
            self.prepare()
        self.coroutine = policy(self).__await__()
        self.step()

    def step(self) -> None:
        """Run the policy to its next await, or to its end."""
        coroutine = self.coroutine
        if coroutine is None:
            return
        try:
            # next() with a default and not send(): a StopIteration would cost more than the policy
            awaited = next(coroutine, ENDED)
        except BadMessage as error:
            self.coroutine = None
            if isinstance(error, BadUri):
                self.node.counters.add(ids.BAD_URIS_RCVD, 1)
            self.fail(error.status, error.reason)
        except BaseException as error:  # noqa: BLE001 - a policy may raise anything, or sys.exit()
            self.coroutine = None
            self.mistaken(repr(error))
        else:
            if awaited is ENDED:
                self.coroutine = None
                self.ended()
            elif isinstance(awaited, Pending) and self.may_await(awaited):
                self.awaited = awaited
                awaited.waiter = self
            else:
                self.coroutine = None
                self.mistaken("it awaited what nobody will ever finish")

    def may_await(self, pending: Pending) -> bool:
        """Whether what the policy awaits will come, and to nobody else."""
        if isinstance(pending, Outcome) and pending is not self.outcome:
            return False
        return pending.under_way and pending.waiter is None

    def resume(self, pending: Pending) -> None:
        """What the policy has awaited is there."""
        if pending is self.awaited:
            self.awaited = None
            self.step()

    def fail(self, status: int, reason: str) -> None:
        """Answer for a policy that could not."""
        self.reply(status, reason)
        if self.context is not None:
            self.context.end(status, self.node.now)

    def mistaken(self, error: str) -> None:
        """The policy itself is at fault: 500, and the operator is told."""
        self.node.counters.add(ids.POLICY_ERRORS, 1)
        self.node.log.error("policy failed", error=error, method=self.method)
        self.fail(500, "")

    def ended(self) -> None:
        """The policy has returned: see that the caller gets an answer."""
        context = self.context
        if context is None:
            if not self.answered and not self.dropped:
                self.node.log.warning("policy gave no answer", method=self.method)
                self.reply(500)
        elif self.answered:
            context.end(self.answered, self.node.now)
        elif self.dropped:
            context.end(500, self.node.now)
            if self.server is not None:
                self.node.layer.abandon(self.server)
        elif context.open == 0 and not context.final_status:
            context.forward_best(self.node.now)

    def settled(self, context: ResponseContext, now: float) -> None:
        """The fork has failed: back to the policy if it waits, else upstream."""
        outcome = self.outcome
        waited_for = outcome is not None and self.awaited is outcome
        if outcome is not None:
            outcome.end(context.best_status() if context.branches else 500)
        if not waited_for and self.coroutine is None:
            context.forward_best(now)

    def succeeded(self, context: ResponseContext, now: float) -> None:
        """The fork has a 2xx, which has gone upstream."""
        self.answered = context.final_status
        outcome = self.outcome
        if outcome is not None:
            outcome.end(context.final_status)

    def cancel(self, now: float) -> None:
        """A CANCEL came for this INVITE (§9.2, §16.10)."""
        self.cancelled = True
        if self.context is not None:
            self.context.cancel(now)
        elif not self.answered:
            self.reply(487)
