"""A policy at work on a request: run to its next await, resumed, and answered for if it fails.

The policy is a coroutine that nobody but its own request drives. Whatever ends without an answer
is given one here.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import cython

from proxy.constants import reason_phrase
from proxy.errors import BadMessage, BadUri, HandedOver, Refused
from proxy.limits import counters as ids
from proxy.limits.bounds import POLICY_TURNS
from proxy.routing.exchange import Exchange
from proxy.routing.mistakes import is_told
from proxy.routing.node import Node
from proxy.routing.pending import Pending, rounded
from proxy.routing.response_context import ResponseContext
from proxy.routing.tracking import leave_off
from proxy.sip.address import Address
from proxy.sip.header_ids import ROUTE
from proxy.sip.message import Message

if not cython.compiled:

    def advance(coroutine: Coroutine[Any, Any, Any], ended: Any) -> Any:
        """Run a coroutine to its next await and give what it awaits; `ended` at its end."""
        # next() with a default and not send(): a StopIteration would cost more than the policy
        return next(coroutine.__await__(), ended)


TIMEOUT = 0
SILENCE = 1


class Outcome(Pending):
    """How a relay ended; await it. `status` 0 means: not yet.

    `response` is the best failure as it came, None when nobody said anything.
    """

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """What there is at first, for whoever makes many."""
        self.promise()
        self.status = 0
        self.under_way = True
        self.response: Message | None = None
        self.context: ResponseContext | None = None  # of a relay that may take only so long

    def outcome(self) -> Outcome:
        """What `await` gives: itself."""
        return self

    def end(self, status: int) -> None:
        """The relay is over."""
        self.status = status
        self.context = None
        self.finish(None)

    def bound(
        self, context: ResponseContext, timeout: float | None, silence: float | None, now: float
    ) -> None:
        """Let the relay take only so long."""
        self.context = context
        timers = context.node.layer.timers
        if timeout is not None:
            timers.start(now, rounded(timeout), self, TIMEOUT)
        if silence is not None:
            timers.start(now, rounded(silence), self, SILENCE)

    def fire(self, timer: int, now: float) -> None:
        """The relay has taken as long as it may."""
        context = self.context
        if context is not None:
            context.time_out(timer == SILENCE, now)


class Sleep(Pending):
    """Time that has to pass."""

    def fire(self, timer: int, now: float) -> None:
        """It has passed."""
        self.finish(None)


ENDED = Outcome()  # in the place of an awaited outcome: the policy has come to its end


class PolicyRun(Exchange):
    """A request and the policy that decides about it."""

    def begin(self, node: Node, message: Message, source: Address, listener: int) -> None:
        """As in Exchange."""
        Exchange.begin(self, node, message, source, listener)
        self.coroutine: Coroutine[Pending, None, None] | None = None
        self.awaited: Pending | None = None
        self.outcome: Outcome | None = None
        self.turns = 0

    def run(self, policy: Callable[[Any], Coroutine[Any, Any, None]]) -> None:
        """Give the request to the policy."""
        if self.message.has(ROUTE):
            self.prepare()
        remote = self.node.remote
        if remote is None or not remote.fetch(self, policy):
            self.start(policy)

    def start(self, policy: Callable[[Any], Coroutine[Any, Any, None]]) -> None:
        """Everything is at hand that the policy may look at."""
        self.coroutine = policy(self)
        self.step()

    def step(self) -> None:
        """Run the policy to its next await, or to its end."""
        coroutine = self.coroutine
        if coroutine is None:
            return
        try:
            awaited = advance(coroutine, ENDED)
        except BadMessage as error:
            self.coroutine = None
            if isinstance(error, BadUri):
                self.node.counters.add(ids.BAD_URIS_RCVD, 1)
            headers = error.headers if isinstance(error, Refused) else b""
            self.fail(error.status, error.reason, headers)
        except HandedOver:
            self.coroutine = None
        except BaseException as error:  # noqa: BLE001 - a policy may raise anything, or sys.exit()
            self.coroutine = None
            self.mistaken(error)
        else:
            if awaited is ENDED:
                self.coroutine = None
                self.ended()
            elif not isinstance(awaited, Pending) or not self.may_await(awaited):
                self.coroutine = None
                self.mistaken(TypeError("it awaited what nobody will ever finish"))
            elif self.server is None and not self.answered and not self.dropped and not self.hold():
                self.coroutine = (
                    None  # refused or handed over: what is sent again would not end here
                )
            else:
                self.awaited = awaited
                awaited.waiter = self

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

    def take_turn(self) -> None:
        """One thing more that the policy has to wait for; no request needs many."""
        self.turns += 1
        if self.turns > POLICY_TURNS:
            raise RuntimeError(f"it has relayed, asked and waited {POLICY_TURNS} times")

    def wait_for(self, pending: Pending, seconds: float) -> Pending:
        """Take on a question for at most `seconds`; 503 to the caller when too many wait."""
        self.take_turn()
        if not self.node.pendings.begin(pending, seconds, self.node.now):
            raise Refused("Too many requests wait", 503, b"Retry-After: 5\r\n")
        return pending

    def fail(self, status: int, reason: str, headers: bytes = b"") -> None:
        """Answer for a policy that could not."""
        self.answer(status, reason.encode() or reason_phrase(status), headers, b"")
        if self.context is not None:
            self.context.end(status, self.node.now)
        elif self.tracked is not None:
            leave_off(self, status)

    def mistaken(self, error: BaseException) -> None:
        """The policy itself is at fault: 500, and the operator is told."""
        self.report_mistake(error)
        self.fail(500, "")

    def report_mistake(self, error: BaseException) -> None:
        """Count it, and say where it comes from the first time."""
        node = self.node
        node.counters.add(ids.POLICY_ERRORS, 1)
        times, trace = node.mistakes.note(error)
        if is_told(times):
            node.log.error(
                "policy failed", error=repr(error), method=self.method, times=times, trace=trace
            )

    def ended(self) -> None:
        """The policy has returned: see that the caller gets an answer."""
        context = self.context
        self.outcome = None
        if context is None:
            if self.dropped and self.server is not None:
                self.node.layer.abandon(self.server)
            elif not self.answered and not self.dropped and not self.waiting:
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
            outcome.response = context.chosen().response if context.branches else None
            outcome.end(context.best_status() if context.branches else 500)
        if not waited_for and self.coroutine is None:
            context.forward_best(now)

    def succeeded(self, context: ResponseContext, now: float) -> None:
        """The fork has a 2xx, which has gone upstream."""
        self.answered = context.final_status
        self.context = None  # which holds on to us for what the callee repeats
        outcome = self.outcome
        if outcome is not None:
            outcome.end(context.final_status)
