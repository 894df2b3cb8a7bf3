"""A locust user that is a SIP telephone on a UDP socket of its own.

It registers, refreshes and unregisters, with digest when it is challenged; it calls and is called;
it repeats itself by RFC 3261's timers, so what fails has failed although it did all it could.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import time
from collections.abc import Callable, Iterator
from typing import ClassVar

import gevent
from gevent import socket
from gevent.event import Event
from gevent.queue import Empty, Queue
from locust import User

from loadtests.telephone import Credentials, Dialog, Telephone, Timers
from loadtests.wire import GIVE_UP, SDP, Packet

KEEP_ALIVE_S = 25.0
HANGS_UP = 0.25  # share of calls that the callee ends
LONGEST_S = 60.0
LINGER_S = 40.0  # after the end, for what the other side repeats
EXPIRES = 600
COME_AGAIN = 10  # how often a telephone lets itself be told to come later
RUN = f"{os.getpid():x}{time.time_ns() // 1_000_000 & 0xFFFFFF:x}"
_numbers = itertools.count()


class Refused(Exception):
    """A final answer that nobody wanted, or none at all."""


class Unanswered(Refused):
    """None at all."""


class Stopwatch:
    """How long the server took; a person who lets it ring is not the server."""

    def __init__(self) -> None:
        self.began = time.perf_counter()
        self.milliseconds: float | None = None

    def stop(self) -> None:
        """The first time counts."""
        if self.milliseconds is None:
            self.milliseconds = (time.perf_counter() - self.began) * 1_000


class Line:
    """The socket, and whoever waits for what comes: answers by branch, requests by Call-ID."""

    def __init__(self, host: str, port: int) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.connect((host, port))  # the address that the server is reached from
        own, number = self.socket.getsockname()[:2]
        self.address = f"[{own}]:{number}" if ":" in own else f"{own}:{number}"
        self.waiting: dict[tuple[str, str], Queue] = {}
        self.acks: dict[tuple[str, str], str] = {}  # of final answers that may come again
        self.incoming: Callable[[Packet], None] = lambda packet: None
        self.helpers = [gevent.spawn(self._receive), gevent.spawn(self._keep_alive)]

    def send(self, text: str) -> None:
        """Send, or lose it: the network may always do that."""
        with contextlib.suppress(OSError):
            self.socket.send(text.encode())

    def ask(
        self,
        text: str,
        ringing: Callable[[str], None] | None = None,
        patience: float = GIVE_UP,
    ) -> Packet:
        """A client transaction, to its final answer; Unanswered when there is none."""
        sent = Packet(text.encode())
        invite = sent.method == "INVITE"
        key = (sent.branch, sent.method)
        answers = self.waiting[key] = Queue()
        timers = Timers(time.monotonic(), invite)
        timers.deadline = timers.began + patience
        try:
            self.send(text)
            while True:
                with contextlib.suppress(Empty):
                    answer = answers.get(timeout=max(0.0, timers.next() - time.monotonic()))
                    if answer.status >= 200:
                        return answer
                    timers.provisional(time.monotonic())
                    if ringing and answer.status > 100:
                        ringing(text)
                if timers.is_over(time.monotonic()):
                    raise Unanswered(f"{sent.method}: no answer")
                if timers.fire(time.monotonic()):
                    self.send(text)
        finally:
            del self.waiting[key]

    def insist(self, final: str, acked: Event) -> bool:
        """Send a final answer to an INVITE until its ACK comes; whether it has."""
        timers = Timers(time.monotonic())
        self.send(final)
        while not acked.wait(max(0.0, timers.next() - time.monotonic())):
            if timers.is_over(time.monotonic()):
                return False
            if timers.fire(time.monotonic()):
                self.send(final)
        return True

    def close(self) -> None:
        """After a while, for the other side may not know yet that it is over."""
        gevent.spawn_later(LINGER_S, self._close)

    def _close(self) -> None:
        gevent.killall(self.helpers, block=False)
        self.socket.close()

    def _receive(self) -> None:
        while True:
            try:
                packet = Packet(self.socket.recv(65_535))
            except ConnectionRefusedError:  # nobody listens there just now
                continue
            except OSError:
                return
            if not packet.status:
                self.incoming(packet)
            elif answers := self.waiting.get((packet.branch, packet.method)):
                answers.put(packet)
            elif ack := self.acks.get((packet.get("call-id"), packet.get("cseq"))):
                self.send(ack)

    def _keep_alive(self) -> None:
        while True:
            gevent.sleep(random.uniform(0.8, 1.0) * KEEP_ALIVE_S)
            self.send("\r\n\r\n")


class Callee:
    """One call as its callee sees it."""

    def __init__(self, invite: Packet, dialog: Dialog, tag: str) -> None:
        self.invite, self.dialog, self.tag = invite, dialog, tag
        self.last = ""  # what is answered when the INVITE comes again
        self.acked, self.cancelled, self.ended = Event(), Event(), Event()
        self.up = False


class SipUser(User):
    """A registered telephone; scenarios are its subclasses."""

    abstract = True
    host = "sip://127.0.0.1:5060"
    listed: ClassVar[dict[str, SipUser]] = {}  # the users of this process that may be called

    def __init__(self, environment: object) -> None:
        super().__init__(environment)
        options = self.environment.parsed_options
        self.server = server_of(self.host or SipUser.host)
        number = next(_numbers)
        user = f"{getattr(options, 'sip_user', '') or 'load-' + RUN + '-'}{number}"
        own = f"[{self.server[0]}]" if ":" in self.server[0] else self.server[0]
        domain = getattr(options, "sip_domain", "") or own
        password = getattr(options, "sip_password", "") or "not-a-secret"
        mine, theirs = Credentials(user, password), Credentials(user, password)
        self.phone = Telephone(user, domain, "", f"{RUN}x{number}x", mine, theirs)
        self.line = self.plug_in()
        self.calls: dict[str, Callee] = {}  # that came in
        self.placed: dict[str, Event] = {}

    # -- what locust calls -------------------------------------------------------------------------

    def on_start(self) -> None:
        """Be there."""
        self.phone.begin_registration()
        self.register("first")

    def on_stop(self) -> None:
        """Go properly."""
        self.listed.pop(self.phone.user, None)
        self.register("unregister", 0)
        self.line.close()

    @contextlib.contextmanager
    def measured(self, method: str, name: str) -> Iterator[Stopwatch]:
        """One row of locust's table: how long it took, and whether it failed."""
        watch = Stopwatch()
        error: Exception | None = None
        try:
            yield watch
        except Refused as refused:
            error = refused
        watch.stop()
        self.environment.events.request.fire(
            request_type=method,
            name=name,
            response_time=watch.milliseconds,
            response_length=0,
            response=None,
            context={},
            exception=error,
        )

    # -- registering -------------------------------------------------------------------------------

    def plug_in(self) -> Line:
        """A socket towards the server, on a port of its own."""
        line = Line(*self.server)
        line.incoming = self.handle
        self.phone.address = line.address
        return line

    def register(self, name: str, expires: int = EXPIRES) -> None:
        """REGISTER, and again with digest if asked; the 200 must say what we are."""
        with self.measured("REGISTER", name):
            self.try_to_register(expires)

    def try_to_register(self, expires: int, patience: float = GIVE_UP) -> None:
        """Refused, or Unanswered, if it does not come to a proper 200."""
        answer = self.line.ask(self.phone.register(expires), patience=patience)
        for _ in range(COME_AGAIN):
            if answer.status in (401, 407) and self.phone.credentials.learn(answer):
                answer = self.line.ask(self.phone.register(expires), patience=patience)
            if answer.status != 503 or not answer.get("retry-after").isdigit():
                break
            gevent.sleep(int(answer.get("retry-after")))  # RFC 3261 §20.33
            answer = self.line.ask(self.phone.register(expires), patience=patience)
        if answer.status != 200:
            raise Refused(f"REGISTER: {answer.first}")
        listed = any(self.phone.contact in value for value in answer.all("contact"))
        if listed != (expires > 0):
            raise Refused("REGISTER: 200 with the wrong contacts")

    # -- calling -----------------------------------------------------------------------------------

    def whole(self, work: Callable[..., None], *values: object) -> None:
        """Do something that goes on to its end even if locust stops this user meanwhile."""
        gevent.spawn(work, *values).join()

    def call(self, user: str, talk_s: float, again: bool = False) -> None:
        """A call to its end: answered, or busy. `again`: with a re-INVITE in between."""
        dialog, up = self.phone.dial(user), False
        ended = self.placed[dialog.call_id] = Event()  # by the other side
        with self.measured("INVITE", "until it rings") as watch:
            answer = self.invite(dialog, lambda _: watch.stop())
            self.expect(answer, 200, 486, *self.left(user))
            up = answer.status == 200
        if up:
            ended.wait(talk_s / 2)
            if again and not ended.is_set():
                with self.measured("INVITE", "in the call"):
                    self.expect(self.invite(dialog), 200, *crossed(ended))
            ended.wait(talk_s / 2)
            if not ended.is_set():
                self.hang_up(dialog, ended)
        gevent.spawn_later(GIVE_UP, self.placed.pop, dialog.call_id)

    def left(self, user: str) -> tuple[int, ...]:
        """What else may be answered when the callee has unregistered meanwhile."""
        return () if user in self.listed else (404, 480)

    def hang_up(self, dialog: Dialog, ended: Event) -> None:
        """BYE; the other side's may have crossed it."""
        with self.measured("BYE", "call"):
            self.expect(self.line.ask(self.phone.request("BYE", dialog)), 200, *crossed(ended))

    def invite(self, dialog: Dialog, ringing: Callable[[str], None] | None = None) -> Packet:
        """INVITE with its ACK, once more if challenged: the final answer."""
        for last in (False, True):
            text = self.phone.request("INVITE", dialog, SDP)
            answer = self.line.ask(text, ringing)
            if answer.status < 300:
                dialog.confirm(answer)
                self.acknowledge(answer, self.phone.ack(dialog))
                break
            self.acknowledge(answer, self.phone.hop_by_hop("ACK", text, answer.get("to")))
            asked = answer.status in (401, 407) and self.phone.calling.learn(answer)
            if last or not asked:
                break
        return answer

    def acknowledge(self, answer: Packet, ack: str) -> None:
        """ACK now, and whenever the answer comes again."""
        key = (answer.get("call-id"), answer.get("cseq"))
        self.line.acks[key] = ack
        self.line.send(ack)
        gevent.spawn_later(GIVE_UP, self.line.acks.pop, key, None)

    def call_in_vain(self, user: str, patience_s: float) -> None:
        """A call that the caller gives up while it rings; it may be answered all the same."""
        dialog, up = self.phone.dial(user), False
        ended = self.placed[dialog.call_id] = Event()
        cancels: list[gevent.Greenlet] = []

        def ringing(text: str) -> None:
            watch.stop()
            if not cancels:
                cancel = self.phone.hop_by_hop("CANCEL", text)
                cancels.append(gevent.spawn_later(patience_s, self.cancel, cancel))

        with self.measured("INVITE", "until it rings") as watch:
            answer = self.invite(dialog, ringing)
            self.expect(answer, 200, 486, 487, *self.left(user))
            up = answer.status == 200
        gevent.joinall(cancels)
        if up and not ended.is_set():
            self.hang_up(dialog, ended)
        gevent.spawn_later(GIVE_UP, self.placed.pop, dialog.call_id)

    def cancel(self, text: str) -> None:
        """CANCEL; 481 says that the call is past it."""
        with self.measured("CANCEL", "given up"):
            self.expect(self.line.ask(text), 200, 481)

    def expect(self, answer: Packet, *statuses: int) -> None:
        """What a final answer has to be."""
        if answer.status not in statuses:
            raise Refused(f"{answer.method}: {answer.first}")

    # -- being called ------------------------------------------------------------------------------

    def handle(self, packet: Packet) -> None:
        """A request of the other side."""
        call_id = packet.get("call-id")
        call, placed = self.calls.get(call_id), self.placed.get(call_id)
        if packet.method == "INVITE" and "tag=" not in packet.get("to"):
            self.called(packet, call)
        elif call is not None:
            self.go_on(packet, call)
        elif packet.method == "ACK":
            return
        elif packet.method == "OPTIONS" or placed is not None:
            self.line.send(self.phone.respond(packet, "200 OK", self.phone.run))
            if placed is not None and packet.method == "BYE":
                placed.set()
        else:
            gone = "481 Call/Transaction Does Not Exist"
            self.line.send(self.phone.respond(packet, gone, self.phone.run))

    def called(self, packet: Packet, call: Callee | None) -> None:
        """A call comes in, or its INVITE once more."""
        if call is not None:
            if packet.branch == call.invite.branch:
                self.line.send(call.last)
            return
        tag = self.phone.word()
        call = Callee(packet, Dialog.of_callee(packet, tag), tag)
        call.dialog.cseq = 0
        busy = any(not each.ended.is_set() for each in self.calls.values())
        self.calls[packet.get("call-id")] = call
        status = "486 Busy Here" if busy else "180 Ringing"
        call.last = self.phone.respond(packet, status, call.tag)
        gevent.spawn(self.serve, call, busy)

    def serve(self, call: Callee, busy: bool) -> None:
        """Ring, answer, and be gone when it is over."""
        if busy:
            status, body = "486 Busy Here", ""
        else:
            self.line.send(call.last)
            given_up = call.cancelled.wait(random.uniform(0.1, 1.5))
            status, body = ("487 Request Terminated", "") if given_up else ("200 OK", SDP)
        call.up = bool(body)
        call.last = self.phone.respond(call.invite, status, call.tag, body)
        if not self.line.insist(call.last, call.acked):
            with self.measured("ACK", "of our answer"):
                raise Refused(f"no ACK for {status}")
        talk_s = random.uniform(0.5, 3) if random.random() < HANGS_UP else LONGEST_S
        if call.up and not call.ended.wait(talk_s):
            self.hang_up(call.dialog, call.ended)
        call.ended.set()
        gevent.sleep(GIVE_UP)  # what comes late finds it
        del self.calls[call.invite.get("call-id")]

    def go_on(self, packet: Packet, call: Callee) -> None:
        """A request within a call."""
        if packet.method == "ACK":
            call.acked.set()
            return
        if packet.method == "CANCEL":
            call.cancelled.set()
        body = SDP if packet.method in ("INVITE", "UPDATE") else ""
        self.line.send(self.phone.respond(packet, "200 OK", call.tag, body))
        if packet.method == "BYE":
            call.acked.set()  # who hangs up has heard us
            call.ended.set()


def crossed(ended: Event) -> tuple[int, ...]:
    """What else may be answered when the other side has hung up meanwhile."""
    return (481, 487, 408) if ended.is_set() else ()


def server_of(host: str) -> tuple[str, int]:
    """Host and port of `sip:host:port`; the slashes that locust likes may be there."""
    hostport = host.partition(":")[2].strip("/") if host.startswith("sip:") else host
    name, colon, port = hostport.rpartition(":")
    if not colon or not port.isdigit() or (":" in name and not name.endswith("]")):
        name, port = hostport, "5060"
    return name.strip("[]"), int(port)
