"""The proxy core (RFC 3261 §16): where every datagram of a worker comes in.

Requests of known transactions and all responses go to the transaction layer; a new request goes
to the policy. What belongs to a transaction that this worker never saw - it replaced a dead one,
or the address moved here - is recognised by its signed branch and sent on without state (R4).
"""

from __future__ import annotations

from traceback import format_tb

from proxy.constants import INTERNAL_LISTENER
from proxy.errors import BadMessage, BadUri, LocateError
from proxy.limits.counters import (
    BAD_MSG_HDR,
    BAD_URIS_RCVD,
    DROP_REPLIES,
    DROP_REQUESTS,
    DROPPED_MALFORMED,
    ERR_REPLIES,
    ERR_REQUESTS,
    FWD_REPLIES,
    FWD_REQUESTS,
    INTERNAL_ERRORS,
    INTERNAL_MESSAGES,
    KEEPALIVES,
    RCV_REPLIES,
    RCV_REQUESTS,
    RETRANSMISSIONS_ABSORBED,
    SL_CLASS_REPLIES,
    SL_RECEIVED_ACKS,
    SL_SENT_ERR_REPLIES,
    SL_SENT_REPLIES,
    STATELESS_REQUESTS,
    STATELESS_RESPONSES,
    STUN,
    TM_RECEIVED_REPLIES,
)
from proxy.registrar.lookup import Target, lookup, target_for
from proxy.routing.locate import Located, literal, next_hop
from proxy.routing.node import Node
from proxy.routing.renumbering import unshifted
from proxy.routing.request import Policy, Request, request_from
from proxy.routing.shedding import turns_away
from proxy.routing.tracking import acknowledge, find_numbers, pass_by, target_within
from proxy.sip import scanner
from proxy.sip.address import Address, address_from
from proxy.sip.header_ids import ROUTE, VIA
from proxy.sip.headers import parse_via
from proxy.sip.message import Message, parse
from proxy.sip.patching import forwarded_response, response_address
from proxy.sip.refusal import refusal
from proxy.sip.scanner import classify
from proxy.sip.stun import stun_binding_response
from proxy.sip.uri import Uri, aor_key, parse_uri
from proxy.transaction.states import Found

ABSORBED = int(Found.ABSORBED)
NEW_REQUEST = int(Found.NEW_REQUEST)
STRAY_ACK = int(Found.STRAY_ACK)
TAG_BYTES = 16  # of one that Signer.own_tag made
KIND_SIP = scanner.SIP
KIND_STUN = scanner.STUN
TRACE_CHARACTERS = 2_500
STAGE = 32  # messages that are read together (docs/decisions/0017)


class ProxyCore:
    """One worker's proxy: `receive` datagrams, send what gathers in `node.layer.outbox`."""

    def __init__(self, node: Node, policy: Policy) -> None:
        self.node = node
        self.policy = policy

    def receive_batch(self, batch: list[tuple[int, bytes, int, bytes]]) -> None:
        """Datagrams as a socket or an inbox gives them: (listener, sockaddr, ns, data).

        Some are read before the first of them is acted on, and then responses come first: the
        code that reads, that for responses and that for requests do not fit side by side into a
        processor's first cache. UDP promises no order between what two parties send.
        """
        layer = self.node.layer
        start = 0
        while start < len(batch):
            part = batch[start : start + STAGE]
            found = [read(listener, data) for listener, _, _, data in part]
            answers = 0  # one bit for each: whether it is a response
            for index in range(len(found)):
                one = found[index]
                if isinstance(one, Message):
                    message = one
                    if not message.is_request:
                        answers |= 1 << index
                    layer.expect(message)
            if answers:
                self.take_some(part, found, answers)
            self.take_some(part, found, ~answers)
            start += STAGE

    def take_some(
        self, part: list[tuple[int, bytes, int, bytes]], found: list[object], which: int
    ) -> None:
        """Act on what was read, where the bits of `which` say so."""
        shedder = self.node.shedder
        for index in range(len(part)):
            if not which >> index & 1:
                continue
            listener, sockaddr, received_ns, data = part[index]
            if shedder.aged_before_ns:
                shedder.note_age(received_ns)
            self.take(found[index], data, sockaddr, listener)

    def take(self, found: object, data: bytes, sockaddr: bytes, listener: int) -> None:
        """Act on what `read` made of one datagram; a mistake of ours costs nobody else."""
        try:
            if listener == INTERNAL_LISTENER:
                self.run_errand(data)
            else:
                self.act(found, data, address_from(sockaddr), listener)
        except Exception as error:  # noqa: BLE001 - a datagram must not cost a worker its calls
            self.survive(error, data[:80].partition(b"\r\n")[0])
            if listener != INTERNAL_LISTENER:
                apology = BadMessage("Internal Error", 500)
                self.answer_without_state(data, apology, address_from(sockaddr), listener)

    def survive(self, error: Exception, message: bytes = b"") -> None:
        """A mistake of ours that a datagram or a timer has found: say so, and go on."""
        self.node.counters.add(INTERNAL_ERRORS, 1)
        trace = "".join(format_tb(error.__traceback__))[-TRACE_CHARACTERS:]
        self.node.log.error("internal error", error=repr(error), message=message, trace=trace)

    def run_errand(self, data: bytes) -> None:
        """What another process of this node wants of this worker."""
        self.node.counters.add(INTERNAL_MESSAGES, 1)
        handler = self.node.errands.get(data[0]) if data else None
        if handler is not None:
            handler(data[1:])

    def receive(self, data: bytes, source: Address, listener: int) -> None:
        """One datagram from the network."""
        self.act(read(listener, data), data, source, listener)

    def act(self, found: object, data: bytes, source: Address, listener: int) -> None:
        """A message for the transactions, or what else a datagram may be."""
        try:
            if not isinstance(found, Message):
                self.answer_other(found, data, source, listener)
                return
            message = found
            if message.is_request:
                self.receive_request(message, source, listener)
            else:
                self.receive_response(message, source, listener)
        except BadMessage as error:
            self.refuse(data, error, source, listener)

    def answer_other(self, found: object, data: bytes, source: Address, listener: int) -> None:
        """A keep-alive, or what no message could be made of."""
        if isinstance(found, Exception):
            raise found
        self.answer_keepalive(classify(data), data, source, listener)

    def answer_keepalive(self, kind: int, data: bytes, source: Address, listener: int) -> None:
        """CRLF is left unanswered (RFC 5626 §3.5.1 wants no pong over UDP), STUN is answered."""
        if kind == KIND_STUN:
            self.node.counters.add(STUN, 1)
            answer = stun_binding_response(data, source)
            if answer:
                self.node.layer.send(answer, source, listener)
        else:
            self.node.counters.add(KEEPALIVES, 1)

    def refuse(self, data: bytes, error: BadMessage, source: Address, listener: int) -> None:
        """A message nobody may act on: 4xx to a request where it can be answered at all."""
        counters = self.node.counters
        counters.add(BAD_MSG_HDR, 1)
        if isinstance(error, BadUri):
            counters.add(BAD_URIS_RCVD, 1)
        self.node.log.debug("malformed message", source=source.hostport, error=error.reason)
        if self.answer_without_state(data, error, source, listener):
            counters.add(ERR_REQUESTS, 1)
        else:
            counters.add(DROPPED_MALFORMED, 1)
            if data.startswith(b"SIP/2.0 "):
                counters.add(ERR_REPLIES, 1)

    def answer_without_state(
        self, data: bytes, error: BadMessage, source: Address, listener: int
    ) -> bool:
        """Answer what may not even be a message; False where nobody can."""
        answer = refusal(data, error, source)
        if answer is None:
            return False
        counters = self.node.counters
        counters.add(SL_SENT_REPLIES, 1)
        counters.add(SL_SENT_ERR_REPLIES, 1)
        counters.add(SL_CLASS_REPLIES + error.status // 100, 1)
        self.node.layer.send(answer, source, listener)
        return True

    def receive_request(self, message: Message, source: Address, listener: int) -> None:
        """A request: of a known transaction, a CANCEL or ACK, or a new one for the policy."""
        node = self.node
        node.counters.add(RCV_REQUESTS, 1)
        found = node.layer.receive(message, node.now)
        if found == ABSORBED:
            node.counters.add(RETRANSMISSIONS_ABSORBED, 1)
        elif found == STRAY_ACK:
            self.stray_ack(request_from(node, message, source, listener))
        elif message.method == "CANCEL":
            self.cancel(request_from(node, message, source, listener))
        elif found == NEW_REQUEST and not (
            node.shedder.active and turns_away(node, message, source, listener)
        ):
            request_from(node, message, source, listener).run(self.policy)

    def receive_response(self, message: Message, source: Address, listener: int) -> None:
        """A response: to its client transaction, else on its way if it bears our signature."""
        node = self.node
        node.counters.add(RCV_REPLIES, 1)
        if node.layer.receive(message, node.now) == ABSORBED:
            node.counters.add(TM_RECEIVED_REPLIES, 1)
        else:
            self.stray_response(message, source, listener)

    # -- without a transaction ----------------------------------------------------------------

    def stray_response(self, message: Message, source: Address, listener: int) -> None:
        """A response we keep no state for (§16.7): forwarded when we made its branch (R4)."""
        node = self.node
        vias = message.values(VIA)
        top = message.via
        if len(vias) > 1 and is_wanted(message) and node.identity.is_listener(top.host, top.port):
            below = parse_via(vias[1])
            address = response_address(below)
            if node.dialogs is not None:
                message = unshifted(node.dialogs, message)
            if address is not None and node.signer.is_ours(
                message.branch, below.branch, address.host, message
            ):
                towards = node.identity.listener_towards(address, listener)
                if towards >= 0:
                    if node.dialogs is not None:
                        pass_by(node, message, source, listener)
                    node.layer.send(forwarded_response(message, (), b""), address, towards)
                    node.counters.add(STATELESS_RESPONSES, 1)
                    node.counters.add(FWD_REPLIES, 1)
                    return
        node.counters.add(DROP_REPLIES, 1)

    def stray_ack(self, request: Request) -> None:
        """An ACK without a transaction (§16.11): to a 2xx along its Route, or after a death."""
        node = self.node
        message = request.message
        if len(message.to_tag) == TAG_BYTES and message.to_tag == node.signer.own_tag(message):
            node.counters.add(SL_RECEIVED_ACKS, 1)  # to our own stateless refusal
            return
        if self.send_on(request) and node.dialogs is not None:
            acknowledge(request)

    def cancel(self, request: Request) -> None:
        """§9.2 and §16.10: answer it and cancel the INVITE, or send it after one we forgot."""
        node = self.node
        server = node.layer.invite_of(request.message)
        if server is None:
            if not self.send_on(request):
                request.reply(481)
            return
        if server.address.host != request.reply_address().host:
            node.counters.add(DROP_REQUESTS, 1)  # not from where the INVITE came: a guess
            return
        request.reply(200)
        invite = server.user
        if isinstance(invite, Request):
            invite.cancel(node.now)

    def send_on(self, request: Request) -> bool:
        """Forward an ACK or CANCEL without state; False when it has nowhere to go."""
        if request.message.has(ROUTE):
            request.prepare()
        if self.node.dialogs is not None and len(request.message.to_tag) > 0:
            find_numbers(request)
        targets = self.stray_targets(request)
        # RFC 5393 §5.3: one ACK to phones that are registered at each other must not become many
        breadth = request.relaying.breadth() // len(targets) if targets else 0
        if breadth < 1 or not request.passes():
            self.node.counters.add(DROP_REQUESTS, 1)
            return False
        for target in targets:
            self.send_to(request, target, breadth)
        return True

    def stray_targets(self, request: Request) -> list[Target]:
        """Where an ACK or CANCEL without a transaction may go: where its INVITE went.

        Along its dialog's Route, to our phones, or to the world for one of our phones.
        """
        if request.own_route:
            return [target_within(request)]
        if request.has_route:
            return []
        if request.is_for_us:
            return self.phones_of(request.uri)
        if request.is_from_us and self.is_from_phone(request):
            return [target_for(request.relaying.request_uri)]
        return []

    def phones_of(self, uri: Uri) -> list[Target]:
        """The registered contacts that an INVITE for `uri` goes to."""
        node = self.node
        return lookup(node.location, aor_key(uri), "INVITE", node.wall, node.faults)

    def is_from_phone(self, request: Request) -> bool:
        """Whether a request comes from where the caller it names has registered from."""
        host = request.source.host
        for phone in self.phones_of(parse_uri(request.message.from_addr.uri)):
            where = b"sip:" + phone.received if phone.received else phone.uri
            if parse_uri(where).host == host:
                return True
        return False

    def send_to(self, request: Request, target: Target, breadth: int) -> None:
        """Forward to one target; a host name is resolved first."""
        node = self.node
        address = request.relaying.known_address(target)
        if address is not None:
            self.send_stateless(request, target, address, breadth)
            return
        try:
            hop = next_hop(request.relaying.next_hop(target))
        except LocateError:
            node.counters.add(DROP_REQUESTS, 1)
            return
        address = literal(hop.host, hop.port)
        if address is not None:
            request.relaying.remember(target, address)
            self.send_stateless(request, target, address, breadth)
        else:
            node.resolve(
                hop.host, hop.port, hop.transport, StrayArrival(self, request, target, breadth)
            )

    def send_stateless(
        self, request: Request, target: Target, address: Address, breadth: int
    ) -> None:
        """§16.11, with the branch that the INVITE of this ACK or CANCEL had."""
        node = self.node
        relay = request.relaying
        listener = relay.way_out(target, address)
        if listener < 0:
            node.counters.add(DROP_REQUESTS, 1)
            return
        relay.fix_via(request.source)
        branch = relay.branch(target, 0)
        node.layer.send(relay.build(target, branch, listener, breadth), address, listener)
        node.counters.add(STATELESS_REQUESTS, 1)
        node.counters.add(FWD_REQUESTS, 1)


def is_wanted(response: Message) -> bool:
    """RFC 4320 §4: no 1xx but 100, and no 408, for a request other than INVITE."""
    status = response.status
    return response.cseq_method == "INVITE" or status == 100 or (status >= 200 and status != 408)


def read(listener: int, data: bytes) -> object:
    """The message in a datagram, what is wrong with it, or None for what is none."""
    if listener == INTERNAL_LISTENER or classify(data) != KIND_SIP:
        return None
    try:
        return parse(data)
    except Exception as error:  # noqa: BLE001 - raised again when its turn comes
        return error


class StrayArrival:
    """The resolver's callback for a request that is forwarded without state."""

    def __init__(self, core: ProxyCore, request: Request, target: Target, breadth: int) -> None:
        self.core = core
        self.request = request
        self.target = target
        self.breadth = breadth

    def __call__(self, located: Located) -> None:
        """Send to the first address found."""
        if located.targets:
            self.core.send_stateless(self.request, self.target, located.targets[0], self.breadth)
