"""The response context of one forwarded request (RFC 3261 §16.7): its branches, their answers.

Targets of equal q are tried in parallel, groups of falling q one after the other. Every 1xx and
2xx goes upstream at once; of the failures the best one, when all branches are final and the user
of the context (the request's policy) has not thought of something else.
"""

from __future__ import annotations

from typing import cast

from proxy.constants import reason_phrase
from proxy.errors import BadMessage, LocateError
from proxy.limits.bounds import LOCATED_TARGETS
from proxy.limits.counters import (
    DROP_REPLIES,
    FWD_REPLIES,
    FWD_REQUESTS,
    TIMER_C_FIRED,
    TM_LOCAL_REPLIES,
    TM_RELAYED_REPLIES,
    TM_UAC_TRANSACTIONS,
    TRANSACTIONS_REFUSED,
)
from proxy.registrar.lookup import Target
from proxy.routing.best_response import best, merged_challenges
from proxy.routing.locate import Located, literal, next_hop
from proxy.routing.node import Node
from proxy.routing.relay import Relay
from proxy.sip.address import Address
from proxy.sip.message import Message, parse
from proxy.sip.patching import cancel_for, forwarded_response, response
from proxy.transaction.layer import Transaction, TransactionUser

LOCATING = 0  # no address yet
CALLING = 1  # sent, nothing heard
PROCEEDING = 2  # a provisional response came
FINAL = 3

TIMER_C = 0
CANCEL_PATIENCE = 1  # §9.1: 64*T1 after a CANCEL the branch counts as cancelled, answer or not

NOBODY = TransactionUser()
# In the place of the request once its 2xx has gone upstream: what the callee repeats needs nothing
# of it, and for 64*T1 it would be most of what a call costs in memory.
SPENT = cast("Relay", None)


class ForkUser(TransactionUser):
    """Who is told that a fork has come to its end."""

    def settled(self, context: ResponseContext, now: float) -> None:
        """All branches are final and none succeeded; `forward_best` has not happened yet."""

    def succeeded(self, context: ResponseContext, now: float) -> None:
        """The first 2xx has been forwarded."""


class Branch(TransactionUser):
    """One branch: a target, the addresses it resolved to, and the client transaction."""

    def __init__(self, context: ResponseContext, target: Target, breadth: int) -> None:
        self.context: ResponseContext | None = context
        self.target = target
        self.breadth = breadth
        self.state = LOCATING
        self.status = 0
        self.response: Message | None = None
        self.client: Transaction | None = None
        self.cancel_wanted = False
        self.timer_c_at = 0.0
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

    def lagging(self, client: Transaction, now: float) -> None:
        """RFC 4320 §4.1: after so long the caller is told that its request is being seen to."""
        if client is self.client and self.context is not None:
            self.context.assure(now)

    def released(self, transaction: Transaction) -> None:
        """The client transaction is over: its context need not be held on to."""
        if transaction is self.client:
            self.context = None

    def timed_out(self, transaction: Transaction, now: float) -> None:
        """Nothing was heard: the next address (RFC 3263 §4.3), or 408 (§16.8)."""
        if transaction is self.client and self.context is not None:
            self.context.fail(self, 408, now)

    def transport_failed(self, transaction: Transaction, now: float) -> None:
        """§16.9: as if it had answered 503."""
        if transaction is self.client and self.context is not None:
            self.context.fail(self, 503, now)

    def fire(self, timer: int, now: float) -> None:
        """Timer C, or the patience after a CANCEL, is over."""
        if self.state == FINAL or self.context is None:
            return
        if timer == CANCEL_PATIENCE:
            self.context.give_up_on(self, now)
        elif now < self.timer_c_at:
            # a provisional response has put it off; whole seconds keep the timer queues few
            left = float(int(self.timer_c_at - now) + 1)
            self.context.node.layer.timers.start(now, left, self, TIMER_C)
        else:
            self.context.node.counters.add(TIMER_C_FIRED, 1)
            self.context.ring_out(self, now)


class ResponseContext:
    """All branches of one request, and the server transaction their answers go to."""

    def __init__(self, node: Node, relay: Relay, server: Transaction, user: ForkUser) -> None:
        self.node = node
        self.relay = relay
        self.server = server
        self.user: ForkUser | None = user
        self.branches: list[Branch] = []
        self.waiting: list[list[Target]] = []  # groups of equal q, the best last
        self.open = 0
        self.final_status = 0  # what went upstream
        self.cancelled = False
        self.invite = relay.message.method == "INVITE"

    # -- starting ---------------------------------------------------------------------------

    def start(self, targets: list[Target], now: float) -> None:
        """Try targets, the best q first; those of equal q at the same time.

        A fork under way goes on beside them.
        """
        groups: list[list[Target]] = []
        for target in sorted(targets, key=wanted):
            if groups and groups[-1][0].q == target.q:
                groups[-1].append(target)
            else:
                groups.append([target])
        self.waiting += groups
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
        """Open the branches of the next group; each may open an equal share of the breadth."""
        breadth = self.relay.breadth()
        group = self.waiting.pop()
        if breadth < self.open + len(group):
            self.waiting.clear()
            self.open += 1
            self.shut_out(group[0], now)
            return
        self.open += len(group)
        for target in group:
            self.start_branch(target, breadth // len(group), now)

    def shut_out(self, target: Target, now: float) -> None:
        """RFC 5393 §5.3.3.3: there is no breadth left for a target."""
        branch = Branch(self, target, 0)
        self.branches.append(branch)
        self.close(branch, 440, None, now)

    def start_branch(self, target: Target, breadth: int, now: float) -> None:
        """Find out where a target is; calls at once when no name has to be resolved."""
        branch = Branch(self, target, breadth)
        self.branches.append(branch)
        address = self.relay.known_address(target)
        if address is not None:
            branch.addresses = (address,)
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
            branch.addresses = (address,)
            self.call(branch, now)
            return
        self.node.resolve(hop.host, hop.port, hop.transport, Arrival(branch))

    def located(self, branch: Branch, located: Located) -> None:
        """The resolver's answer for a branch."""
        if branch.state != LOCATING:
            return
        now = self.node.now
        if located.targets:
            branch.addresses = located.targets
            self.call(branch, now)
        else:
            self.node.log.debug("host name not resolved", failure=located.failure)
            self.close(branch, 503, None, now)

    def call(self, branch: Branch, now: float) -> None:
        """Send the request of a branch to the address whose turn it is."""
        node = self.node
        relay = self.relay
        address = branch.addresses[branch.attempt]
        preferred = node.identity.hostports.get(branch.target.socket, relay.leave_by)
        listener = node.identity.listener_towards(address, preferred)
        if listener < 0:
            self.fail(branch, 503, now)
            return
        if node.layer.full():
            node.counters.add(TRANSACTIONS_REFUSED, 1)
            self.close(branch, 503, None, now)
            return
        attempt = branch.attempt
        if len(self.branches) > 1:
            attempt += LOCATED_TARGETS * self.tried_before(branch)
        name = relay.branch(branch.target, attempt)
        datagram = relay.build(branch.target, name, listener, branch.breadth)
        branch.state = CALLING
        method = relay.message.method
        branch.client = node.layer.send_request(
            (name, method), datagram, address, listener, branch, now
        )
        node.counters.add(FWD_REQUESTS, 1)
        node.counters.add(TM_UAC_TRANSACTIONS, 1)
        if self.invite:
            branch.timer_c_at = now + node.timer_c
            node.layer.timers.start(now, node.timer_c, branch, TIMER_C)

    def tried_before(self, branch: Branch) -> int:
        """How often the target of `branch` was tried earlier: each try has its own branch."""
        times = 0
        target = branch.target
        for other in self.branches:
            if other is branch:
                break
            earlier = other.target
            if (
                earlier.uri == target.uri
                and earlier.received == target.received
                and earlier.path == target.path
            ):
                times += 1
        return times

    # -- answers ----------------------------------------------------------------------------

    def receive(self, branch: Branch, message: Message, now: float) -> None:
        """A response on a branch (§16.7)."""
        status = message.status
        if status < 200:
            self.progress(branch, message, now)
        elif status < 300:
            self.succeed(branch, message, now)
        elif branch.state != FINAL:
            if status == 503 and self.try_next_address(branch, now):
                return
            forwarded_response(message)  # now, for nobody catches what it raises later
            self.close(branch, status, message, now)

    def spoil(self, branch: Branch, message: Message, error: BadMessage, now: float) -> None:
        """A response with no Via but ours has nowhere to go; a final one ends its branch."""
        self.node.counters.add(DROP_REPLIES, 1)
        self.node.log.debug("response unusable", target=branch.target.uri, error=error.reason)
        if message.status >= 200 and branch.state != FINAL:
            self.close(branch, 502, None, now)

    def assure(self, now: float) -> None:
        """100 upstream, once, for a request other than INVITE that has waited long enough."""
        if not self.final_status and not self.server.datagram:
            relay = self.relay
            trying = response(relay.message, 100, b"Trying", b"", b"", b"", relay.top_via, False)
            self.server.respond(100, trying, now)

    def progress(self, branch: Branch, message: Message, now: float) -> None:
        """A provisional response: goes upstream, puts off timer C, lets a CANCEL out."""
        if branch.state == FINAL:
            return
        branch.state = PROCEEDING
        if message.status > 100:
            branch.timer_c_at = now + self.node.timer_c
            if self.invite and not self.final_status:  # other requests: RFC 4320 §4.1
                self.forward(message, now)
        if branch.cancel_wanted:
            self.cancel_branch(branch, now)

    def succeed(self, branch: Branch, message: Message, now: float) -> None:
        """A 2xx: every one of them goes upstream, and the other branches are cancelled."""
        first = self.final_status == 0
        if first or self.invite:
            self.forward(message, now)
        if branch.state != FINAL:
            branch.state = FINAL
            branch.status = message.status
            self.open -= 1
        if first:
            self.waiting.clear()
            if self.open:
                self.cancel_open(now)
            user = self.user
            self.user = None
            if user is not None:
                user.succeeded(self, now)
            self.relay = SPENT

    def fail(self, branch: Branch, status: int, now: float) -> None:
        """A branch that did not answer: its next address, or the end of it."""
        if branch.state != FINAL and not self.try_next_address(branch, now):
            self.close(branch, status, None, now)

    def try_next_address(self, branch: Branch, now: float) -> bool:
        """RFC 3263 §4.3: failover is a new transaction with a new branch."""
        if branch.attempt + 1 >= len(branch.addresses) or branch.cancel_wanted or self.cancelled:
            return False
        branch.attempt += 1
        self.call(branch, now)
        return True

    def close(self, branch: Branch, status: int, message: Message | None, now: float) -> None:
        """A branch has failed with `status`, from the network or (no message) found here."""
        branch.state = FINAL
        branch.status = status
        branch.response = message
        if branch.client is None:
            branch.context = None
        self.open -= 1
        if status >= 600:
            self.waiting.clear()
            if self.open > 0:
                self.cancel_open(now)
        if self.open > 0 or self.final_status:
            return
        if self.waiting and not self.cancelled:
            self.start_next(now)
        elif self.user is not None:
            self.user.settled(self, now)

    # -- upstream ---------------------------------------------------------------------------

    def forward(self, message: Message, now: float) -> None:
        """Send a response upstream with our Via taken off (§16.7 steps 3 and 9)."""
        datagram = forwarded_response(message)
        if message.status >= 200:
            self.final_status = message.status
        sent = self.server.respond(message.status, datagram, now)
        if not sent and 200 <= message.status < 300:
            # §16.7 step 5: a 2xx to an INVITE goes up even after another final response
            self.node.layer.send(datagram, self.server.address, self.server.listener)
        self.node.counters.add(FWD_REPLIES, 1)
        self.node.counters.add(TM_RELAYED_REPLIES, 1)

    def forward_best(self, now: float) -> None:
        """Send the best of the failures upstream (§16.7 steps 6 to 9)."""
        self.user = None
        if self.final_status:
            return
        chosen = self.chosen()
        message = chosen.response
        if message is None or message.status == 503 or (message.status == 408 and not self.invite):
            # a 503 of one target is not ours to pass on (§16.7 step 6)
            self.refuse(self.local_status(chosen.status), now)
            return
        others = [branch.response for branch in self.branches if branch.response is not None]
        challenges = merged_challenges(message, others) if len(others) > 1 else b""
        if not challenges:
            self.forward(message, now)
            return
        self.final_status = message.status
        self.server.respond(message.status, forwarded_response(message, (), challenges), now)
        self.node.counters.add(FWD_REPLIES, 1)

    def chosen(self) -> Branch:
        """The branch whose failure is the best to pass on."""
        if len(self.branches) == 1:
            return self.branches[0]
        return self.branches[best([branch.status for branch in self.branches])]

    def best_status(self) -> int:
        """The status that `forward_best` would send."""
        chosen = self.chosen()
        if chosen.response is None or chosen.status == 503:
            return self.local_status(chosen.status)
        return chosen.status

    def local_status(self, status: int) -> int:
        """What a failure found here becomes upstream."""
        if self.cancelled:
            return 487
        return 500 if status == 503 else status

    def refuse(self, status: int, now: float) -> None:
        """Answer upstream ourselves."""
        self.user = None
        self.final_status = status
        if status == 408 and not self.invite:
            # RFC 4320 §4.2: too late to be of use, and it would set off a storm of them
            self.node.layer.abandon(self.server)
            return
        relay = self.relay
        tag = self.node.signer.own_tag(relay.message)
        datagram = response(
            relay.message, status, reason_phrase(status), tag, b"", b"", relay.top_via, False
        )
        self.server.respond(status, datagram, now)
        self.node.counters.add(TM_LOCAL_REPLIES, 1)

    # -- cancelling -------------------------------------------------------------------------

    def cancel(self, now: float) -> None:
        """The caller has hung up (§16.10)."""
        if self.final_status or self.cancelled:
            return
        self.cancelled = True
        self.waiting.clear()
        self.cancel_open(now)

    def end(self, status: int, now: float) -> None:
        """The request has been answered with `status` by somebody else: nobody need ring on."""
        self.user = None
        if not self.final_status:
            self.final_status = status
            self.waiting.clear()
            self.cancel_open(now)

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
        if branch.state == LOCATING:
            self.close(branch, 487, None, now)
            return
        branch.cancel_wanted = branch.state == CALLING
        client = branch.client
        if branch.state != PROCEEDING or client is None:
            return
        layer = self.node.layer
        try:
            datagram = cancel_for(parse(client.datagram))
        except BadMessage:  # what was sent exceeds our own bounds
            self.give_up_on(branch, now)
            return
        key = (client.key[0], "CANCEL")
        if key not in layer.clients:
            layer.send_request(key, datagram, client.address, client.listener, NOBODY, now)
            layer.timers.start(now, layer.patience, branch, CANCEL_PATIENCE)


def wanted(target: Target) -> int:
    """The order in which targets are tried: by q."""
    return target.q


class Arrival:
    """The resolver's callback for one branch."""

    def __init__(self, branch: Branch) -> None:
        self.branch = branch

    def __call__(self, located: Located) -> None:
        """Hand the addresses to the branch, if it still waits."""
        context = self.branch.context
        if context is not None:
            context.located(self.branch, located)
