"""A policy at work on a request: run to its next await, resumed, and answered for if it fails.

The policy is a coroutine that nobody but its own request drives. Whatever ends without an answer
is given one here.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from proxy.constants import reason_phrase
from proxy.errors import BadMessage, BadUri
from proxy.limits import counters as ids
from proxy.routing.exchange import Exchange
from proxy.routing.node import Node
from proxy.routing.pending import Pending
from proxy.routing.response_context import ResponseContext
from proxy.routing.tracking import leave_off
from proxy.sip.address import Address
from proxy.sip.header_ids import ROUTE
from proxy.sip.message import Message


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


class PolicyRun(Exchange):
    """A request and the policy that decides about it."""

    def __init__(self, node: Node, message: Message, source: Address, listener: int) -> None:
        super().__init__(node, message, source, listener)
        self.coroutine: Iterator[Pending] | None = None
        self.awaited: Pending | None = None
        self.outcome: Outcome | None = None

    def run(self, policy: Callable[[Any], Coroutine[Any, Any, None]]) -> None:
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
        self.answer(status, reason.encode() or reason_phrase(status), b"", b"")
        if self.context is not None:
            self.context.end(status, self.node.now)
        elif self.tracked is not None:
            leave_off(self, status)

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
                self.refuse(500)
            if self.tracked is not None:
                leave_off(self, self.answered)
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
