"""The transaction layer, sans-I/O: messages and time go in, datagrams to send come out.

The caller parses, feeds `receive`, calls `fire_due` of the timers, and sends what has gathered in
`outbox`. No socket, no clock, no randomness. Matching is RFC 3261 §17.1.3 and §17.2.3.
"""

from __future__ import annotations

import cython

from proxy.constants import BRANCH_COOKIE
from proxy.errors import BadMessage
from proxy.limits.bounds import PLACE_BYTES
from proxy.sip.address import Address
from proxy.sip.message import Message, parse
from proxy.sip.patching import ack_for
from proxy.transaction.states import FIRST, Action, Found, Machine, State, Stimulus, Tally, flatten
from proxy.transaction.timers import TimerConfig, Timers

ABSORBED = int(Found.ABSORBED)
NEW_REQUEST = int(Found.NEW_REQUEST)
STRAY_ACK = int(Found.STRAY_ACK)
STRAY_RESPONSE = int(Found.STRAY_RESPONSE)

COMPLETED = int(State.COMPLETED)
ACCEPTED = int(State.ACCEPTED)
TERMINATED = int(State.TERMINATED)
REQUEST = int(Stimulus.REQUEST)
ACK = int(Stimulus.ACK)
SEND_PROVISIONAL = int(Stimulus.SEND_PROVISIONAL)
SEND_SUCCESS = int(Stimulus.SEND_SUCCESS)
SEND_FAILURE = int(Stimulus.SEND_FAILURE)
PROVISIONAL = int(Stimulus.PROVISIONAL)
SUCCESS = int(Stimulus.SUCCESS)
FAILURE = int(Stimulus.FAILURE)
TRANSPORT_ERROR = int(Stimulus.TRANSPORT_ERROR)
RETRANSMIT = int(Stimulus.RETRANSMIT)
TIMEOUT = int(Stimulus.TIMEOUT)
LINGER = int(Stimulus.LINGER)
STIMULI = len(Stimulus)
SEND_RESPONSE = int(Action.SEND_RESPONSE)
RESEND_RESPONSE = int(Action.RESEND_RESPONSE)
SEND_REQUEST = int(Action.SEND_REQUEST)
SEND_ACK = int(Action.SEND_ACK)
PASS = int(Action.PASS)
REPORT_TIMEOUT = int(Action.REPORT_TIMEOUT)
REPORT_TRANSPORT_ERROR = int(Action.REPORT_TRANSPORT_ERROR)
START_RETRANSMIT = int(Action.START_RETRANSMIT)
START_RETRANSMIT_T2 = int(Action.START_RETRANSMIT_T2)
START_TIMEOUT = int(Action.START_TIMEOUT)
START_LINGER = int(Action.START_LINGER)
START_LINGER_T4 = int(Action.START_LINGER_T4)

CLIENT_INVITE = int(Machine.CLIENT_INVITE)
CLIENT_NON_INVITE = int(Machine.CLIENT_NON_INVITE)
SERVER_INVITE = int(Machine.SERVER_INVITE)
SERVER_NON_INVITE = int(Machine.SERVER_NON_INVITE)
TABLES = tuple(flatten(machine) for machine in Machine)
FIRST_STATES = tuple(int(FIRST[machine][0]) for machine in Machine)
FIRST_ACTIONS = tuple(tuple(int(action) for action in FIRST[machine][1]) for machine in Machine)
ENDED = int(Tally.ENDED)
RESENT_T1 = int(Tally.RESENT_T1)
RESENT_T2 = int(Tally.RESENT_T2)
REPEATED = int(Tally.REPEATED)
UNANSWERED = int(Tally.UNANSWERED)
TALLIES = 1 + max(Tally)


class TransactionUser:
    """What a transaction reports to (RFC 3261 §5, the layer above); override what matters."""

    def response_received(self, client: Transaction, response: Message, now: float) -> None:
        """A client transaction passes a response up."""

    def timed_out(self, transaction: Transaction, now: float) -> None:
        """Timer B, F or H fired."""

    def transport_failed(self, transaction: Transaction, now: float) -> None:
        """A datagram could not be sent."""

    def lagging(self, client: Transaction, now: float) -> None:
        """A request other than INVITE has gone unanswered until timer E reached T2."""

    def released(self, transaction: Transaction) -> None:
        """The transaction will report no more; time to let go of it (nothing collects cycles)."""


@cython.freelist(256)
@cython.cclass
class Transaction:
    """One server or client transaction; `machine` says which of the four.

    `datagram` is what would be sent again: a server's last response, a client's request or, once
    a non-2xx final response came, its ACK.
    """

    def __init__(
        self,
        layer: TransactionLayer,
        machine: int,
        key: tuple[object, ...],
        user: TransactionUser,
        address: Address,
        listener: int,
    ) -> None:
        self.layer = layer
        self.machine = machine
        self.key = key
        self.user: TransactionUser | None = user
        self.address = address
        self.listener = listener
        self.state: int = FIRST_STATES[machine]
        self.interval = 0.0
        self.datagram = b""
        self.places = 0  # of the layer's capacity

    def fire(self, timer: int, now: float) -> None:
        """A timer of this transaction is due; `timer` is the stimulus it stands for."""
        if self.state != TERMINATED:
            driven = self.layer.drive(self, timer, None, now)
            if driven and timer == RETRANSMIT and self.machine >= SERVER_INVITE:
                self.layer.tally[REPEATED] += 1

    def respond(self, status: int, datagram: bytes, now: float) -> bool:
        """Send the transaction user's response; False if the state no longer allows it."""
        stimulus = SEND_FAILURE
        if status < 200:
            stimulus = SEND_PROVISIONAL
        elif status < 300:
            stimulus = SEND_SUCCESS
        if TABLES[self.machine][self.state * STIMULI + stimulus] is None:
            return False
        self.datagram = datagram
        self.layer.admit(self, len(datagram))
        if 200 <= status < 700 and self.state < COMPLETED:
            self.layer.tally[ENDED + status // 100] += 1
        return self.layer.drive(self, stimulus, None, now)


class TransactionLayer:
    """All transactions of one worker.

    `capacity` bounds them together (see `full`), a large message taking more than one place of it,
    for it is kept as long as its transaction; `outbox` gathers (datagram, address, listener,
    transaction or None) in the order they have to leave.
    """

    def __init__(self, config: TimerConfig, capacity: int) -> None:
        self.t1 = config.t1
        self.t2 = config.t2
        self.t4 = config.t4
        self.patience = 64 * config.t1
        self.capacity = capacity
        self.taken = 0  # of the capacity
        self.timers = Timers()
        self.servers: dict[tuple[object, ...], Transaction] = {}
        self.clients: dict[tuple[object, ...], Transaction] = {}
        self.outbox: list[tuple[bytes, Address, int, Transaction | None]] = []
        if not cython.compiled:
            self.tally = [0] * TALLIES

    def tallies(self) -> list[int]:
        """What has been counted since the start, for the worker to add to its counters."""
        return [self.tally[column] for column in range(TALLIES)]

    def full(self) -> bool:
        """Whether one more transaction would exceed the bound."""
        return self.taken >= self.capacity

    def crowded(self) -> bool:
        """Whether a request and its first branch would exceed the bound."""
        return self.taken + 1 >= self.capacity

    def admit(self, transaction: Transaction, size: int) -> None:
        """Count the places of a transaction that holds on to a message of `size` bytes."""
        places = 1 + size // PLACE_BYTES
        if places > transaction.places:
            self.taken += places - transaction.places
            transaction.places = places

    def receive(self, message: Message, now: float) -> int:
        """Match a message to a transaction; which of `Found` it was."""
        if not message.is_request:
            return self.receive_response(message, now)
        method = message.method
        if method == "ACK":
            return self.receive_ack(message, now)
        server = self.servers.get(server_key(message, method))
        if server is None:
            return NEW_REQUEST
        self.drive(server, REQUEST, message, now)
        return ABSORBED

    def receive_ack(self, ack: Message, now: float) -> int:
        """An ACK: of a failure it ends here, of a 2xx it is end to end (RFC 6026)."""
        server = self.servers.get(server_key(ack, "INVITE"))
        if server is None:
            return STRAY_ACK
        self.drive(server, ACK, ack, now)
        return STRAY_ACK if server.state == ACCEPTED else ABSORBED

    def receive_response(self, response: Message, now: float) -> int:
        """Give a response to its client transaction (§17.1.3)."""
        client = self.clients.get((response.branch, response.cseq_method))
        if client is None:
            return STRAY_RESPONSE
        self.admit(client, len(response.data))
        stimulus = FAILURE
        if response.status < 200:
            stimulus = PROVISIONAL
        elif response.status < 300:
            stimulus = SUCCESS
        self.drive(client, stimulus, response, now)
        return ABSORBED

    def invite_of(self, cancel: Message) -> Transaction | None:
        """The INVITE server transaction that a CANCEL means (§9.2)."""
        return self.servers.get(server_key(cancel, "INVITE"))

    def serve(
        self, request: Message, address: Address, listener: int, user: TransactionUser
    ) -> Transaction:
        """Make the server transaction of a request; responses will go to `address`."""
        machine = SERVER_INVITE if request.method == "INVITE" else SERVER_NON_INVITE
        key = server_key(request, request.method)
        server = Transaction(self, machine, key, user, address, listener)
        self.servers[key] = server
        self.admit(server, len(request.data))
        return server

    def send_request(
        self,
        key: tuple[object, ...],
        datagram: bytes,
        address: Address,
        listener: int,
        user: TransactionUser,
        now: float,
    ) -> Transaction:
        """Make the client transaction `key` (branch, method) and send its request."""
        machine = CLIENT_INVITE if key[1] == "INVITE" else CLIENT_NON_INVITE
        client = Transaction(self, machine, key, user, address, listener)
        client.datagram = datagram
        self.clients[key] = client
        self.admit(client, len(datagram))
        for action in FIRST_ACTIONS[machine]:
            self.perform(client, action, None, now)
        return client

    def send(self, datagram: bytes, address: Address, listener: int) -> None:
        """Send without a transaction."""
        self.outbox.append((datagram, address, listener, None))

    def drive(
        self, transaction: Transaction, stimulus: int, message: Message | None, now: float
    ) -> bool:
        """Take one step of a machine; False if its table says IGNORE."""
        entry = TABLES[transaction.machine][transaction.state * STIMULI + stimulus]
        if entry is None:
            return False
        state, actions = entry
        transaction.state = state
        for action in actions:
            self.perform(transaction, action, message, now)
        if state >= COMPLETED:
            self.settle(transaction)
        return True

    def perform(
        self, transaction: Transaction, action: int, message: Message | None, now: float
    ) -> None:
        """Carry out one action of the tables."""
        if action == PASS:
            self.hand_up(transaction, message, now)
        elif action == SEND_RESPONSE:
            self.dispatch(transaction)
        elif action == START_LINGER:
            self.timers.start(now, self.patience, transaction, LINGER)
        elif action == START_LINGER_T4:
            self.timers.start(now, self.t4, transaction, LINGER)
        elif action == START_RETRANSMIT:
            self.start_retransmit(transaction, now)
        elif action == START_RETRANSMIT_T2:
            if transaction.interval >= self.t2:
                self.lag(transaction, now)
            transaction.interval = self.t2
            self.timers.start(now, self.t2, transaction, RETRANSMIT)
        elif action == START_TIMEOUT:
            self.timers.start(now, self.patience, transaction, TIMEOUT)
        elif action == RESEND_RESPONSE:
            self.dispatch(transaction)
        elif action == SEND_REQUEST:
            if transaction.interval > 0:
                self.tally[self.resent(transaction.interval)] += 1
            self.dispatch(transaction)
        elif action == SEND_ACK:
            self.acknowledge(transaction, message)
        else:
            self.report(transaction, action, now)

    def dispatch(self, transaction: Transaction) -> None:
        """Queue what the transaction has to say; nothing, before its first response."""
        if transaction.datagram:
            self.outbox.append(
                (transaction.datagram, transaction.address, transaction.listener, transaction)
            )

    def start_retransmit(self, transaction: Transaction, now: float) -> None:
        """Timer A, E or G: T1, then doubled; E and G stop growing at T2 (§17.1.2.2, §17.2.1)."""
        interval = transaction.interval * 2 if transaction.interval else self.t1
        if interval >= self.t2 and transaction.machine != CLIENT_INVITE:
            interval = self.t2
            if transaction.machine == CLIENT_NON_INVITE:
                self.lag(transaction, now)
        transaction.interval = interval
        self.timers.start(now, interval, transaction, RETRANSMIT)

    def resent(self, interval: float) -> int:
        """The column of a request that is sent again after `interval`."""
        if interval >= 8 * self.t1:
            return RESENT_T2
        return RESENT_T1 + (interval >= 2 * self.t1) + (interval >= 4 * self.t1)

    def acknowledge(self, client: Transaction, response: Message | None) -> None:
        """ACK a non-2xx final response; the ACK takes the place of the request it answers."""
        if response is not None and not client.datagram.startswith(b"ACK "):
            try:
                client.datagram = ack_for(parse(client.datagram), response)
            except BadMessage:
                client.datagram = b""  # what was sent exceeds our own bounds; timer D ends it
        self.dispatch(client)

    def lag(self, client: Transaction, now: float) -> None:
        """Tell the layer above that a request waits long (RFC 4320 §4.1)."""
        user = client.user
        if user is not None:
            user.lagging(client, now)

    def hand_up(self, transaction: Transaction, message: Message | None, now: float) -> None:
        """PASS: a response for the layer above; an ACK goes up by what `receive` returns."""
        user = transaction.user
        if user is not None and message is not None and not message.is_request:
            user.response_received(transaction, message, now)

    def report(self, transaction: Transaction, action: int, now: float) -> None:
        """Tell the layer above that nothing more is to be expected."""
        user = transaction.user
        if action == REPORT_TIMEOUT and transaction.machine < SERVER_INVITE:
            self.tally[UNANSWERED] += 1
        if user is None:
            return
        if action == REPORT_TIMEOUT:
            user.timed_out(transaction, now)
        else:
            user.transport_failed(transaction, now)

    def abandon(self, transaction: Transaction) -> None:
        """End a transaction that will not be answered (RFC 4320 §4.2, RFC 3261 §9.1)."""
        transaction.state = TERMINATED
        self.settle(transaction)

    def settle(self, transaction: Transaction) -> None:
        """Let go of what a finished transaction no longer needs; forget a terminated one."""
        machine = transaction.machine
        if transaction.state == TERMINATED:
            table = self.clients if machine < SERVER_INVITE else self.servers
            if table.get(transaction.key) is transaction:
                del table[transaction.key]
            self.taken -= transaction.places
            transaction.places = 0
            self.release(transaction)
            transaction.datagram = b""
        elif transaction.state == ACCEPTED:
            transaction.datagram = b""  # nothing is ever sent again
            if machine == SERVER_INVITE:
                self.release(transaction)
        else:
            self.release(transaction)
            if machine == CLIENT_NON_INVITE:
                transaction.datagram = b""

    def release(self, transaction: Transaction) -> None:
        """Part a transaction from its user."""
        user = transaction.user
        if user is not None:
            transaction.user = None
            user.released(transaction)


def server_key(request: Message, method: str) -> tuple[object, ...]:
    """What a retransmission, an ACK or a CANCEL has in common with its request (§17.2.3)."""
    branch = request.branch
    if len(branch) > 7 and branch.startswith(BRANCH_COOKIE):
        return (branch, request.sent_by(), method)
    # RFC 2543: no transaction id, so everything that would have gone into one
    return (
        request.call_id,
        request.from_tag,
        request.cseq,
        request.request_uri,
        request.via.raw,
        method,
    )
