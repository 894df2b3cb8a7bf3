"""The response context of one forwarded request (RFC 3261 §16.7): its branches, their answers.

Targets of equal q are tried in parallel, groups of falling q one after the other. Every 1xx and
2xx goes upstream at once; of the failures the best one, when all branches are final and the user
of the context (the request's policy) has not thought of something else.
"""

from __future__ import annotations

from typing import cast

from proxy.errors import BadMessage, LocateError
from proxy.limits.bounds import LOCATED_TARGETS
from proxy.limits.counters import (
    DROP_REPLIES,
    FWD_REQUESTS,
    TIMER_C_FIRED,
    TM_TIMEOUT_FINALRESPONSE_INV,
    TM_UAC_TRANSACTIONS,
    TRANSACTIONS_REFUSED,
)
from proxy.registrar.lookup import Target
from proxy.routing.locate import Located, literal, next_hop
from proxy.routing.node import Node
from proxy.routing.relay import Relay
from proxy.routing.renumbering import answered_as
from proxy.routing.target_groups import grouped
from proxy.routing.upstream import CANCEL_PATIENCE, Attempt, Upstream
from proxy.sip.address import Address
from proxy.sip.message import Message
from proxy.sip.patching import forwarded_response
from proxy.transaction.layer import Transaction, TransactionUser

LOCATING = 0  # no address yet
CALLING = 1  # sent, nothing heard
PROCEEDING = 2  # a provisional response came
FINAL = 3

TIMER_C = 0

# In the place of the request once its 2xx has gone upstream: what the callee repeats needs nothing
# of it, and for 64*T1 it would be most of what a call costs in memory.
SPENT = cast("Relay", None)


class ForkUser(TransactionUser):
    """Who is told that a fork has come to its end."""

    def settled(self, context: ResponseContext, now: float) -> None:
        """All branches are final and none succeeded; `forward_best` has not happened yet."""

    def succeeded(self, context: ResponseContext, now: float) -> None:
        """The first 2xx has been forwarded."""


class Branch(Attempt):
    """One branch: a target, the addresses it resolved to, and the client transaction."""

    def begin(self, context: ResponseContext, target: Target, breadth: int) -> None:
        """What there is at first; arguments of `__init__` would cost more."""
        self.aim_at(target)
        self.context: ResponseContext | None = context
        self.breadth = breadth
        self.state = LOCATING
        self.client: Transaction | None = None
        self.cancel_wanted = False
        self.given_up = False  # nothing new is started for it
        self.written_off = False  # no longer waited for: it is not among the open ones
        self.timer_c_at = 0.0
        self.address: Address | None = None  # where it goes, if no name had to be resolved
        self.addresses: tuple[Address, ...] = ()
        self.attempt = 0

    def response_received(self, client: Transaction, response: Message, now: float) -> None:
        """A response, unless it answers an address given up before."""
        context = self.context
        if client is not self.client or context is None:
            return
        try:
            context.receive(self, response, now)
        except BadMessage as error:
            context.spoil(self, response, error, now)

    def located(self, located: Located) -> None:
        """The resolver's answer."""
        context = self.context  # held by this name: whatever happens may end it
        if context is not None and self.state == LOCATING:
            context.located(self, located)

    def lagging(self, client: Transaction, now: float) -> None:
        """RFC 4320 §4.1: after so long the caller is told that its request is being seen to."""
        context = self.context
        if client is self.client and context is not None:
            context.assure(now)

    def released(self, transaction: Transaction) -> None:
        """The client transaction is over: its context need not be held on to."""
        if transaction is self.client:
            self.context = None

    def timed_out(self, transaction: Transaction, now: float) -> None:
        """Nothing was heard: the next address (RFC 3263 §4.3), or 408 (§16.8)."""
        context = self.context
        if transaction is self.client and context is not None:
            context.fail(self, 408, now)

    def transport_failed(self, transaction: Transaction, now: float) -> None:
        """§16.9: as if it had answered 503."""
        context = self.context
        if transaction is self.client and context is not None:
            context.fail(self, 503, now)

    def fire(self, timer: int, now: float) -> None:
        """Timer C, or the patience after a CANCEL, is over."""
        context = self.context
        if self.state == FINAL or context is None:
            return
        if timer == CANCEL_PATIENCE:
            context.give_up_on(self, now)
        elif now < self.timer_c_at:
            self.watch(context.node, now)
        else:
            context.node.counters.add(TIMER_C_FIRED, 1)
            context.node.counters.add(TM_TIMEOUT_FINALRESPONSE_INV, 1)
            context.ring_out(self, now)

    def watch(self, node: Node, now: float) -> None:
        """Look at timer C again when it may be over, and in 64*T1 at the latest.

        Timers are not cancelled, and a short call should not be remembered for the three minutes
        of timer C. Whole seconds keep the timer queues few.
        """
        left = float(int(self.timer_c_at - now + 0.999))
        layer = node.layer
        if left > layer.patience:
            left = layer.patience
        layer.timers.start(now, left, self, TIMER_C)


class ResponseContext(Upstream):
    """All branches of one request, and the server transaction their answers go to."""

    def open_for(self, user: ForkUser, node: Node, relay: Relay, server: Transaction) -> None:
        """What there is at first; arguments of `__init__` would cost more."""
        self.begin(node, relay, server)
        self.user: ForkUser | None = user
        self.branches: list[Branch]  # type: ignore[assignment]
        self.waiting: list[list[Target]] | None = None  # groups of equal q, the best last
        self.turns = 1  # groups that have to share the breadth
        self.open = 0

    # -- starting ---------------------------------------------------------------------------

    def start(self, targets: list[Target], now: float) -> None:
        """Try the targets of the best q, at most BRANCHES, those of equal q at the same time."""
        groups = grouped(targets)
        self.waiting = self.waiting + groups if self.waiting else groups
        if len(groups) > 1 and self.relay.visits():
            self.turns = len(groups)
        self.start_next(now)

    def start_one(self, target: Target, now: float) -> None:
        """Try a single target: what `start` comes to for most requests."""
        breadth = self.relay.breadth()
        self.open += 1
        if breadth < self.open:
            self.shut_out(target, now)
        else:
            self.start_branch(target, breadth, now)

    def start_next(self, now: float) -> None:
        """Open the branches of the next group; each may open an equal share of the breadth.

        When the request has come back to us, the groups share it as well: registrations at each
        other that are tried one after the other multiply like those tried at the same time.
        """
        breadth = self.relay.breadth() // self.turns
        if not self.waiting:
            return
        group = self.waiting.pop()
        if breadth < self.open + len(group):
            self.waiting = None
            self.open += 1
            self.shut_out(group[0], now)
            return
        self.open += len(group)
        for target in group:
            self.start_branch(target, breadth // len(group), now)

    def shut_out(self, target: Target, now: float) -> None:
        """RFC 5393 §5.3.3.3: there is no breadth left for a target."""
        branch = self.add_branch(target, 0)
        self.close(branch, 440, None, now)

    def add_branch(self, target: Target, breadth: int) -> Branch:
        """One branch more."""
        branch = Branch.__new__(Branch)
        branch.begin(self, target, breadth)
        self.branches.append(branch)
        return branch

    def start_branch(self, target: Target, breadth: int, now: float) -> None:
        """Find out where a target is; calls at once when no name has to be resolved."""
        branch = self.add_branch(target, breadth)
        address = self.relay.known_address(target)
        if address is not None:
            branch.address = address
            self.call(branch, now)
            return
        try:
            hop = next_hop(self.relay.next_hop(target))
        except (BadMessage, LocateError) as error:
            self.node.log.debug("target unusable", target=target.uri, error=str(error))
            known = self.relay.request_uri[:4].lower() == b"sip:"
            self.close(branch, 503 if known else 416, None, now)  # §16.3 step 2
            return
        address = literal(hop.host, hop.port)
        if address is not None:
            self.relay.remember(target, address)
            branch.address = address
            self.call(branch, now)
            return
        self.node.resolve(hop.host, hop.port, hop.transport, branch.located)

    def located(self, branch: Branch, located: Located) -> None:
        """A branch knows where to go, or that it cannot be known."""
        now = self.node.now
        if self.final_status:  # not an INVITE, whose other branches would have been closed
            self.close(branch, 487, None, now)
        elif located.targets:
            branch.addresses = located.targets
            self.call(branch, now)
        else:
            self.node.log.debug("host name not resolved", failure=located.failure)
            self.close(branch, 503, None, now)

    def call(self, branch: Branch, now: float) -> None:
        """Send the request of a branch to the address whose turn it is."""
        node = self.node
        relay = self.relay
        address = branch.address
        if address is None:
            address = branch.addresses[branch.attempt]
        listener = relay.way_out(branch.target, address)
        if listener < 0:
            self.fail(branch, 503, now)
            return
        if node.layer.full():
            node.counters.add(TRANSACTIONS_REFUSED, 1)
            self.close(branch, 503, None, now)
            return
        self.keep_dialog()
        attempt = branch.attempt
        if len(self.branches) > 1:
            attempt += LOCATED_TARGETS * self.tried_before(branch)
        name = relay.branch(branch.target, attempt)
        node.layer.clients.expect(name)
        datagram = relay.build(branch.target, name, listener, branch.breadth)
        branch.state = CALLING
        method = relay.message.method
        branch.client = node.layer.send_request(
            name, method, datagram, address, listener, branch, now, self.server.call
        )
        node.counters.add(FWD_REQUESTS, 1)
        node.counters.add(TM_UAC_TRANSACTIONS, 1)
        if self.invite:
            branch.timer_c_at = now + node.timer_c
            branch.watch(node, now)

    # -- answers ----------------------------------------------------------------------------

    def receive(self, branch: Branch, message: Message, now: float) -> None:
        """A response on a branch (§16.7); BadMessage, and no change, if it has but one Via."""
        status = message.status
        if self.number:
            message = answered_as(message, self.number)
        if status > 100:
            branch.datagram = forwarded_response(message)
        if status < 200:
            self.progress(branch, message, now)
        elif status < 300:
            self.succeed(branch, message, now)
        elif branch.state != FINAL:
            if status == 503 and self.try_next_address(branch, now):
                return
            self.close(branch, status, message, now)

    def spoil(self, branch: Branch, message: Message, error: BadMessage, now: float) -> None:
        """A response with no Via but ours has nowhere to go; a final one ends its branch."""
        self.node.counters.add(DROP_REPLIES, 1)
        self.node.log.debug("response unusable", target=branch.target.uri, error=error.reason)
        if message.status >= 200 and branch.state != FINAL:
            self.close(branch, 502, None, now)

    def progress(self, branch: Branch, message: Message, now: float) -> None:
        """A provisional response: goes upstream, puts off timer C, lets a CANCEL out."""
        if branch.state == FINAL:
            return
        branch.state = PROCEEDING
        status = message.status
        if status > 100:
            branch.timer_c_at = now + self.node.timer_c
            if self.invite and not self.final_status and not branch.written_off:  # RFC 4320 §4.1
                self.forward(message, branch, now)
                self.tell_dialog(message, branch, branch.client)
        if branch.cancel_wanted:
            self.cancel_branch(branch, now)

    def succeed(self, branch: Branch, message: Message, now: float) -> None:
        """A 2xx: every one of them goes upstream, and the other branches are cancelled."""
        first = self.final_status == 0
        if first or self.invite:
            self.forward(message, branch, now)
        self.tell_dialog(message, branch, branch.client)
        if branch.state != FINAL:
            branch.state = FINAL
            branch.status = message.status
            if not branch.written_off:
                self.open -= 1
        if first:
            self.waiting = None
            if self.open:
                self.cancel_open(now)
            user = self.user
            self.user = None
            if user is not None:
                user.succeeded(self, now)
            self.close_dialog()
            self.relay = SPENT

    def fail(self, branch: Branch, status: int, now: float) -> None:
        """A branch that did not answer: its next address, or the end of it."""
        if branch.state != FINAL and not self.try_next_address(branch, now):
            self.close(branch, status, None, now)

    def try_next_address(self, branch: Branch, now: float) -> bool:
        """RFC 3263 §4.3: failover is a new transaction with a new branch."""
        if branch.attempt + 1 >= len(branch.addresses) or branch.given_up or self.final_status:
            return False
        branch.attempt += 1
        self.call(branch, now)
        return True

    def close(self, branch: Branch, status: int, message: Message | None, now: float) -> None:
        """A branch has failed with `status`, from the network or (no message) found here."""
        branch.state = FINAL
        if branch.client is None:
            branch.context = None
        if branch.written_off:
            return
        branch.status = status
        if not self.final_status:
            branch.response = message
        self.open -= 1
        if status >= 600:
            self.waiting = None
            if self.open > 0:
                self.cancel_open(now)
        if self.open == 0 and not self.final_status:
            self.exhausted(now)

    def exhausted(self, now: float) -> None:
        """No branch is left: the next group, or the user."""
        if self.waiting and not self.cancelled:
            self.start_next(now)
            return
        user = self.user
        if user is not None:
            user.settled(self, now)

    def forward_best(self, now: float) -> None:
        """All has failed, and the user has thought of nothing else."""
        self.user = None
        if not self.final_status:
            self.send_best(now)
        self.revision = None

    # -- cancelling -------------------------------------------------------------------------

    def cancel(self, now: float) -> None:
        """The caller has hung up (§16.10)."""
        if self.final_status or self.cancelled:
            return
        self.cancelled = True
        self.waiting = None
        self.cancel_open(now)

    def end(self, status: int, now: float) -> None:
        """The request has been answered with `status` by somebody else: nobody need ring on."""
        self.user = self.revision = None
        if not self.final_status:
            self.final_status = status
            self.fall_through()
            self.forget_failures()
            self.waiting = None
            self.cancel_open(now)

    def time_out(self, silent: bool, now: float) -> None:
        """The user has waited long enough for an answer, or (`silent`) for any sign of life."""
        if self.final_status:
            return
        if not silent:
            self.waiting = None
        last = CALLING if silent else PROCEEDING
        for branch in list(self.branches):
            if branch.state <= last and not branch.written_off:
                branch.written_off = branch.given_up = True
                branch.status = 408
                self.open -= 1
                if self.invite or branch.state == LOCATING:
                    self.cancel_branch(branch, now)
        if self.open == 0:
            self.exhausted(now)

    def give_up_on(self, branch: Branch, now: float) -> None:
        """A branch that a CANCEL did not end (§9.1); a late 2xx is forwarded by its signature."""
        client = branch.client
        self.close(branch, 487 if self.cancelled else 408, None, now)
        if client is not None:
            self.node.layer.abandon(client)

    def cancel_open(self, now: float) -> None:
        """CANCEL every branch that has no final answer (§16.7 step 10)."""
        if self.invite:
            for branch in list(self.branches):
                if branch.state != FINAL:
                    self.cancel_branch(branch, now)

    def ring_out(self, branch: Branch, now: float) -> None:
        """Timer C (§16.8): cancel a branch that rings for ever."""
        if branch.state == PROCEEDING:
            self.cancel_branch(branch, now)
        else:
            self.close(branch, 408, None, now)

    def cancel_branch(self, branch: Branch, now: float) -> None:
        """CANCEL one branch, at once or when its first provisional response comes (§9.1)."""
        branch.given_up = True
        if branch.state == LOCATING:
            self.close(branch, 487, None, now)
            return
        branch.cancel_wanted = branch.state == CALLING
        client = branch.client
        if branch.state != PROCEEDING or client is None:
            return
        try:
            self.send_cancel(client, branch, now)
        except BadMessage:  # what was sent exceeds our own bounds
            self.give_up_on(branch, now)
