"""Telephones whose server changes in the middle of a call."""

from __future__ import annotations

import asyncio
import random
import re
from collections import Counter

from loadtests.agents import Call, Hanging, Tally
from loadtests.wire import GIVE_UP, SDP, Inquiry, Line, Packet, request, respond

RINGING = ("answered", "repeated", "unheard", "cancelled")
ENDING = ("ended", "hanging", "operator")
KINDS = {  # of so many calls each; a third of them are being set up when the node dies
    "caller": 2,  # hangs up
    "callee": 1,  # hangs up
    "reinvite": 1,  # changes the session, then hangs up
    "unacked": 1,  # the ACK of its answer comes by the other node
    "forever": 1,  # ended by its lifetime
    "pinged": 1,  # by both nodes; then hangs up
    "ended": 1,  # hung up just before the node dies
    "hanging": 1,  # the same, but its BYE is answered only later
    "operator": 1,  # ended just before the node dies, by a command that the other one gets
    "answered": 2,  # rings, is answered
    "repeated": 1,  # rings, and its INVITE comes again by the other node
    "unheard": 1,  # does not even ring before
    "cancelled": 1,  # rings, is cancelled
}
REASONS = {
    "callee": ("Upstream BYE", 200),
    "forever": ("Lifetime Timeout", 200),
    "operator": ("MI Termination", 200),
    "cancelled": ("Cancelled", 487),
}
BY_CALLER = ("Downstream BYE", 200)


class Moment:
    """What the telephones wait for."""

    def __init__(self) -> None:
        self.leaving = asyncio.Event()  # the node is about to die
        self.moved = asyncio.Event()
        self.release = asyncio.Event()


class Numbers:
    """The CSeqs of requests inside dialogs, which must not fall (RFC 3261 §12.2.2)."""

    def __init__(self) -> None:
        self.last: dict[str, int] = {}

    def rise(self, packet: Packet, tally: Tally) -> bool:
        """Whether a request is in order; a failure of the run if not."""
        call, number = packet.get("call-id"), int(packet.get("cseq").split()[0])
        if number < self.last.get(call, 0):
            tally.failures.append(f"{call}: {packet.method} {number} after {self.last[call]}")
            return False
        self.last[call] = number
        return True


class Phone(Hanging):
    """A callee that does what the Call-ID's first word says."""

    def __init__(self, line: Line, tally: Tally, chance: random.Random, moment: Moment) -> None:
        super().__init__(line, tally, chance)
        self.moment = moment
        self.over: Counter[str] = Counter()  # calls that the other side has hung up
        self.numbers = Numbers()

    def handle(self, packet: Packet) -> None:
        call = packet.get("call-id")
        if packet.status:
            if call in self.asked:
                self.asked[call].answers.put_nowait(packet)
        elif "tag=" not in packet.get("to"):
            super().handle(packet)
        elif packet.method == "ACK" or self.numbers.rise(packet, self.tally):
            self.within(packet, call)

    def within(self, packet: Packet, call: str) -> None:
        """A request inside a dialog."""
        if packet.method in ("INVITE", "OPTIONS"):
            self.line.send(respond(self.line, packet, "200 OK", call, SDP))
            return
        if packet.method == "BYE":
            if call.startswith("hanging") and not self.moment.moved.is_set():
                return
            self.over[call] += 1
        super().handle(packet)

    def invited(self, packet: Packet, call: str) -> None:
        if not call.startswith("unheard"):
            super().invited(packet, call)
        elif call not in self.branches:
            self.branches[call] = packet.branch
            self.acked[call] = asyncio.Event()
            self.last[call] = respond(self.line, packet, "180 Ringing", call)
            self.run(self.decide(packet, call))

    async def decide(self, packet: Packet, call: str) -> None:
        kind = call.partition("-")[0]
        if kind in RINGING:
            await self.moment.moved.wait()
        if kind == "unheard":
            self.line.send(self.last[call])
        await asyncio.sleep(self.chance.uniform(0.02, 0.4))
        if kind == "cancelled" or self.last[call].startswith("SIP/2.0 4"):
            return
        await self.insist(call, respond(self.line, packet, "200 OK", call, SDP))
        if kind == "callee":
            await self.moment.release.wait()
            await asyncio.sleep(self.chance.uniform(0.0, 0.5))
            await self.hang_up(packet, call)


class Caller(Call):
    """A call whose kind says what becomes of it."""

    def __init__(self, line: Line, user: str, kind: str, phone: Phone) -> None:
        super().__init__(line, user, kind, phone.tally, phone.chance)
        self.moment, self.phone = phone.moment, phone
        self.numbers = Numbers()
        self.hung_up = asyncio.Event()
        self.is_there = asyncio.Event()  # rings, or is up: ready for the failover
        self.is_up = False
        self.target = self.to = self.routes = ""

    def handle(self, packet: Packet) -> None:
        if packet.status:
            super().handle(packet)
        elif packet.method == "ACK" or self.numbers.rise(packet, self.tally):
            self.line.send(respond(self.line, packet, "200 OK", ""))
            if packet.method == "BYE":
                self.hung_up.set()

    async def place(self) -> None:
        self.line.send(self.inquiry.text)
        if self.kind in RINGING:
            status = 100 if self.kind == "unheard" else 180
            ringing = await self.inquiry.next(status)
            if ringing is None or ringing.status != status:
                self.fail(ringing.first if ringing else "does not ring")
                return
            self.is_there.set()
            await self.moment.moved.wait()
            if self.kind == "repeated":
                self.line.send(self.inquiry.text)
            if self.kind == "cancelled":
                self.inquiry.answers.put_nowait(ringing)
                if not await self.cancel():
                    return
        final = await self.inquiry.next(200, 2 * GIVE_UP)
        if final is None or final.status != (487 if self.kind == "cancelled" else 200):
            self.fail(final.first if final else "no final answer")
        elif final.status != 200:
            self.refuse(final)
        else:
            await self.talk(final)

    async def talk(self, final: Packet) -> None:
        found = re.search(r"<([^>]+)>", final.get("contact"))
        values = [v.strip() for row in final.all("record-route") for v in row.split(",")]
        self.routes = "".join(f"Route: {value}\r\n" for value in reversed(values))
        self.target, self.to = found[1] if found else self.uri, final.get("to")
        if self.kind == "unacked":
            self.is_there.set()
            await self.moment.moved.wait()
        self.ack = self.within("ACK", 1)
        self.line.send(self.ack)
        self.is_up = True
        self.is_there.set()
        await (self.moment.leaving if self.kind in ENDING else self.moment.release).wait()
        await asyncio.sleep(self.chance.uniform(0.0, 0.1 if self.kind in ENDING else 0.5))
        if self.kind == "reinvite" and not await self.ask("INVITE", 2):
            return
        if self.kind in ("callee", "forever", "operator"):
            await self.wait_for_the_end()
        elif await self.ask("BYE", 3):
            self.tally.answered += 1
        self.is_up = False

    def within(self, method: str, cseq: int) -> str:
        """A request inside the dialog."""
        contact = f"Contact: <sip:caller@{self.line.address}>\r\n" if method == "INVITE" else ""
        return request(
            self.line,
            method,
            self.target,
            self.call_id,
            cseq,
            self.from_,
            self.to,
            self.routes + contact,
            SDP if method == "INVITE" else "",
        )

    async def ask(self, method: str, cseq: int) -> bool:
        """Send a request inside the dialog; whether it got its 200."""
        self.other = Inquiry(self.line, self.within(method, cseq), method == "INVITE")
        before, self.ack = self.ack, ""
        if method == "INVITE":
            self.inquiry = self.other
        self.line.send(self.other.text)
        answer = await self.other.next()
        self.ack = before
        if answer is None or answer.status != 200:
            self.fail(f"{method}: {answer.first if answer else 'no answer'}")
            return False
        if method == "INVITE":
            self.ack = self.within("ACK", cseq)
            self.line.send(self.ack)
        return True

    async def wait_for_the_end(self) -> None:
        """The other side hangs up, or the server both."""
        try:
            await asyncio.wait_for(self.hung_up.wait(), 60.0)
        except TimeoutError:
            self.fail("nobody has hung up")
            return
        if self.kind != "callee":
            for _ in range(100):
                if self.phone.over[self.call_id]:
                    break
                await asyncio.sleep(0.05)
            else:
                self.fail("the callee was not told of the end")
                return
        self.tally.answered += 1
