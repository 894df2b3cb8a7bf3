"""The transaction layer, sans-I/O: messages and time go in, datagrams to send come out.

The caller parses, feeds `receive`, calls `fire_due` of the timers, and sends what has gathered in
`outbox`. No socket, no clock, no randomness. Matching is RFC 3261 §17.1.3 and §17.2.3.
"""

from __future__ import annotations

import cython

from proxy.errors import BadMessage
from proxy.limits.bounds import PLACE_BYTES
from proxy.sip.address import Address
from proxy.sip.message import Message, parse
from proxy.sip.patching import ack_for
from proxy.sip.scanner import call_id_hash, hash_call_id
from proxy.transaction.matching import Matched, Matching, has_cookie, server_key
from proxy.transaction.states import FIRST, Action, Found, Machine, State, Stimulus, Tally, flatten
from proxy.transaction.timers import Timed, TimerConfig, Timers

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
STATES = len(State)
IGNORED = -1  # in the place of a state
NOTHING = -1  # of an action
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
MOST = 3  # actions of one step
if not cython.compiled:
    NEXT, ACTIONS = [0] * (4 * STATES * STIMULI), [0] * (4 * STATES * STIMULI * MOST)
for row, entry in enumerate(step for machine in Machine for step in flatten(machine)):
    NEXT[row] = IGNORED if entry is None else entry[0]
    for column in range(MOST):
        done = () if entry is None else entry[1]
        ACTIONS[row * MOST + column] = done[column] if column < len(done) else NOTHING
FIRST_STATES = tuple(int(FIRST[machine][0]) for machine in Machine)
FIRST_ACTIONS = tuple(tuple(int(action) for action in FIRST[machine][1]) for machine in Machine)
ENDED = int(Tally.ENDED)
RESENT_T1 = int(Tally.RESENT_T1)
RESENT_T2 = int(Tally.RESENT_T2)
REPEATED = int(Tally.REPEATED)
UNANSWERED = int(Tally.UNANSWERED)
TALLIES = 1 + max(Tally)


class TransactionUser(Timed):
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


class Transaction(Matched):
    """One server or client transaction; `machine` says which of the four.

    `datagram` is what would be sent again: a server's last response, a client's request or, once
    a non-2xx final response came, its ACK. `call` is its Call-ID's hash, 0 if nobody said.
    """

    def begin(
        self,
        layer: TransactionLayer,
        machine: int,
        user: TransactionUser,
        address: Address,
        listener: int,
        call: int,
    ) -> None:
        """What there is at first; arguments of `__init__` would cost more."""
        self.layer = layer
        self.machine = machine
        self.call = call
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
        if NEXT[(self.machine * STATES + self.state) * STIMULI + stimulus] == IGNORED:
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
        self.after_t1 = self.timers.queue(self.t1)
        self.after_t4 = self.timers.queue(self.t4)
        self.after_patience = self.timers.queue(self.patience)
        self.servers = Matching(capacity)
        self.clients = Matching(capacity)
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

    def expect(self, message: Message) -> None:
        """This message is about to be received: fetch what it will be matched with, meanwhile."""
        if not message.is_request:
            self.clients.expect(message.branch)
        elif self.servers.count and has_cookie(message.branch):
            self.servers.expect(server_key(message))

    def receive(self, message: Message, now: float) -> int:
        """Match a message to a transaction; which of `Found` it was."""
        if not message.is_request:
            return self.receive_response(message, now)
        method = message.method
        if method == "ACK":
            return self.receive_ack(message, now)
        server = self.server_of(message, method)
        if server is None:
            return NEW_REQUEST
        self.drive(server, REQUEST, message, now)
        return ABSORBED

    def receive_ack(self, ack: Message, now: float) -> int:
        """An ACK: of a failure it ends here, of a 2xx it is end to end (RFC 6026)."""
        server = self.server_of(ack, "INVITE")
        if server is None:
            return STRAY_ACK
        self.drive(server, ACK, ack, now)
        return STRAY_ACK if server.state == ACCEPTED else ABSORBED

    def receive_response(self, response: Message, now: float) -> int:
        """Give a response to its client transaction (§17.1.3)."""
        client = self.client_of(response.branch, response.cseq_method)
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
        return self.server_of(cancel, "INVITE")

    def server_of(self, request: Message, method: str) -> Transaction | None:
        """The server transaction of `method` that a request has its key from."""
        if not self.servers.count:
            return None  # without a look at its key
        found: Transaction | None = self.servers.find(method, server_key(request))
        return found

    def client_of(self, branch: bytes, method: str) -> Transaction | None:
        """The client transaction that was made with this branch."""
        found: Transaction | None = self.clients.find(method, branch)
        return found

    def everything(self) -> list[Transaction]:
        """All transactions, as they are now."""
        return self.servers.everything() + self.clients.everything()

    def calls(self) -> set[int]:
        """The hashes of the Call-IDs that have transactions."""
        return {one.call or call_id_hash(one.datagram) for one in self.everything()}

    def unfinished(self) -> int:
        """How many transactions have no final response yet."""
        return sum(one.state < COMPLETED for one in self.everything())

    def serve(
        self, request: Message, address: Address, listener: int, user: TransactionUser
    ) -> Transaction:
        """Make the server transaction of a request; responses will go to `address`."""
        method = request.method
        machine = SERVER_INVITE if method == "INVITE" else SERVER_NON_INVITE
        call = hash_call_id(request.call_id)
        server = Transaction.__new__(Transaction)
        server.begin(self, machine, user, address, listener, call)
        self.servers.enter(method, server_key(request), server)
        self.admit(server, len(request.data))
        return server

    def send_request(
        self,
        branch: bytes,
        method: str,
        datagram: bytes,
        address: Address,
        listener: int,
        user: TransactionUser,
        now: float,
        call: int = 0,
    ) -> Transaction:
        """Make the client transaction of a branch and method, and send its request."""
        machine = CLIENT_INVITE if method == "INVITE" else CLIENT_NON_INVITE
        client = Transaction.__new__(Transaction)
        client.begin(self, machine, user, address, listener, call)
        client.datagram = datagram
        self.clients.enter(method, branch, client)
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
        row = (transaction.machine * STATES + transaction.state) * STIMULI + stimulus
        state = NEXT[row]
        if state == IGNORED:
            return False
        transaction.state = state
        for column in range(row * MOST, row * MOST + MOST):
            if ACTIONS[column] == NOTHING:
                break
            self.perform(transaction, ACTIONS[column], message, now)
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
            self.after_patience.start(now + self.patience, transaction, LINGER)
        elif action == START_LINGER_T4:
            self.after_t4.start(now + self.t4, transaction, LINGER)
        elif action == START_RETRANSMIT:
            self.start_retransmit(transaction, now)
        elif action == START_RETRANSMIT_T2:
            if transaction.interval >= self.t2:
                self.lag(transaction, now)
            transaction.interval = self.t2
            self.timers.start(now, self.t2, transaction, RETRANSMIT)
        elif action == START_TIMEOUT:
            self.after_patience.start(now + self.patience, transaction, TIMEOUT)
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
        if not transaction.interval:
            transaction.interval = self.t1
            self.after_t1.start(now + self.t1, transaction, RETRANSMIT)
            return
        interval = transaction.interval * 2
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
            matching = self.clients if machine < SERVER_INVITE else self.servers
            matching.leave(transaction)
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
