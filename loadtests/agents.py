"""Telephones in asyncio that keep to RFC 3261's timers: what a lost datagram costs is a repetition.

Nothing here gives up before 64*T1 (32 s), as real telephones do not; so whatever fails, failed
although the telephone did all it could.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

from loadtests.ports import free_port
from loadtests.servers import DOMAIN

T1, T2, GIVE_UP = 0.5, 4.0, 32.0
SDP = (
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    "m=audio 9 RTP/AVP 0\r\n"
)
_numbers = itertools.count(1)


class Packet:
    """A received message, parsed as far as a telephone of ours needs."""

    def __init__(self, data: bytes) -> None:
        head, _, self.body = data.decode("utf-8", "replace").partition("\r\n\r\n")
        self.first, *lines = head.split("\r\n")
        split = (line.partition(":") for line in lines)
        self.headers = [(name.strip().lower(), value.strip()) for name, _, value in split]
        self.status = int(self.first.split()[1]) if self.first.startswith("SIP/2.0 ") else 0
        cseq = self.get("cseq").split()
        self.method = cseq[1] if self.status and len(cseq) > 1 else self.first.split(" ")[0]

    def get(self, name: str) -> str:
        return next((value for found, value in self.headers if found == name), "")

    def all(self, name: str) -> list[str]:
        return [value for found, value in self.headers if found == name]

    @property
    def branch(self) -> str:
        found = re.search(r"branch=([^;,\s]+)", self.get("via"))
        return found[1] if found else ""


class Line(asyncio.DatagramProtocol):
    """One socket; messages go to whoever owns their Call-ID, the rest to `stranger`."""

    def __init__(self, server: tuple[str, int]) -> None:
        self.server = server
        self.address = ""
        self.owners: dict[str, Callable[[Packet], None]] = {}
        self.stranger: Callable[[Packet], None] = lambda _: None
        self.transport: asyncio.DatagramTransport | None = None
        self.sent = 0

    @classmethod
    async def open(cls, server: tuple[str, int]) -> Line:
        line = cls(server)
        port = free_port()
        await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: line, local_addr=("127.0.0.1", port)
        )
        line.address = f"127.0.0.1:{port}"
        return line

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str | object, int]) -> None:
        packet = Packet(data)
        self.owners.get(packet.get("call-id"), self.stranger)(packet)

    def send(self, text: str) -> None:
        self.sent += 1
        if self.transport and not self.transport.is_closing():
            self.transport.sendto(text.encode(), self.server)

    def close(self) -> None:
        if self.transport:
            self.transport.close()


class Inquiry:
    """A client transaction: sends, repeats by timer A/E, hands out what comes back."""

    def __init__(self, line: Line, text: str, invite: bool) -> None:
        self.line, self.text, self.invite = line, text, invite
        self.answers: asyncio.Queue[Packet] = asyncio.Queue()
        self.repeated = 0

    async def next(self, wanted: int = 200, patience: float = GIVE_UP) -> Packet | None:
        """The next answer with at least this status; None when time is up."""
        deadline, interval, quiet = time.monotonic() + patience, T1, False
        while (left := deadline - time.monotonic()) > 0:
            timeout = left if quiet else min(interval, left)
            try:
                packet = await asyncio.wait_for(self.answers.get(), timeout)
            except TimeoutError:
                if quiet:
                    return None
                self.repeated += 1
                self.line.send(self.text)
                interval = interval * 2 if self.invite else min(interval * 2, T2)
                continue
            if packet.status >= wanted:
                return packet
            quiet = quiet or self.invite  # a provisional ends the repetitions of an INVITE only
            interval = T2 if not self.invite else interval
        return None


def request(
    line: Line,
    method: str,
    uri: str,
    call_id: str,
    cseq: int,
    from_: str,
    to: str,
    extra: str = "",
    body: str = "",
    via: str = "",
) -> str:
    """A whole request as text."""
    via = via or f"SIP/2.0/UDP {line.address};branch=z9hG4bKs{next(_numbers)};rport"
    kind = "Content-Type: application/sdp\r\n" if body else ""
    return (
        f"{method} {uri} SIP/2.0\r\nVia: {via}\r\nMax-Forwards: 70\r\nFrom: {from_}\r\nTo: {to}\r\n"
        f"Call-ID: {call_id}\r\nCSeq: {cseq} {method}\r\n{extra}{kind}"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    )


def respond(line: Line, to: Packet, status: str, tag: str, body: str = "") -> str:
    """A whole response as text."""
    rows = [f"SIP/2.0 {status}", *(f"Via: {v}" for v in to.all("via"))]
    rows += [f"Record-Route: {v}" for v in to.all("record-route")]
    target = to.get("to")
    rows += [
        f"From: {to.get('from')}",
        f"To: {target}" if "tag=" in target else f"To: {target};tag={tag}",
        f"Call-ID: {to.get('call-id')}",
        f"CSeq: {to.get('cseq')}",
        f"Contact: <sip:callee@{line.address}>",
    ]
    if body:
        rows.append("Content-Type: application/sdp")
    return "\r\n".join([*rows, f"Content-Length: {len(body)}", "", body])


@dataclass
class Tally:
    """What a run did, and what went wrong in it."""

    registered: int = 0
    unregistered: int = 0
    answered: int = 0
    busy: int = 0
    cancelled: int = 0
    repeated: int = 0
    calls_with_repetition: int = 0
    merged: int = 0
    failures: list[str] = field(default_factory=list)


class Registrant:
    """One address of record with one contact; knows what the registrar has confirmed."""

    def __init__(self, user: str, line: Line, tally: Tally) -> None:
        self.user, self.line, self.tally = user, line, tally
        self.contact = f"sip:{user}@{line.address}"
        self.call_id = f"reg-{user}-{next(_numbers)}@{line.address}"
        self.cseq = 0
        self.bound: bool | None = False  # None: asked, and never answered

    async def register(self, expires: int) -> None:
        """REGISTER until answered; `bound` is what the 200 said."""
        self.cseq += 1
        address = f"<sip:{self.user}@{DOMAIN}>"
        inquiry = Inquiry(
            self.line,
            request(
                self.line,
                "REGISTER",
                f"sip:{DOMAIN}",
                self.call_id,
                self.cseq,
                f"{address};tag={self.user}",
                address,
                f"Contact: <{self.contact}>\r\nExpires: {expires}\r\n",
            ),
            invite=False,
        )
        self.line.owners[self.call_id] = inquiry.answers.put_nowait
        self.line.send(inquiry.text)
        while (answer := await inquiry.next()) is not None:
            if answer.get("cseq").startswith(f"{self.cseq} "):
                break  # else: a late copy of an earlier answer
        self.tally.repeated += inquiry.repeated
        if answer is None or answer.status != 200:
            self.bound = None
            what = answer.first if answer else "no answer"
            self.tally.failures.append(f"REGISTER {self.call_id} {self.cseq}: {what}")
            return
        listed = any(self.contact in value for value in answer.all("contact"))
        if listed != (expires > 0):
            self.tally.failures.append(f"REGISTER {self.call_id} {self.cseq}: wrong 200")
        self.bound = expires > 0
        if expires:
            self.tally.registered += 1
        else:
            self.tally.unregistered += 1


class Callee:
    """Answers whatever call comes to its line, by the server side's timers."""

    def __init__(self, line: Line, tally: Tally, chance: random.Random) -> None:
        self.line, self.tally, self.chance = line, tally, chance
        self.branches: dict[str, str] = {}
        self.last: dict[str, str] = {}
        self.acked: dict[str, asyncio.Event] = {}
        self.tasks: set[asyncio.Task[None]] = set()
        line.stranger = self.handle

    def handle(self, packet: Packet) -> None:
        call = packet.get("call-id")
        if packet.method == "INVITE":
            self.invited(packet, call)
        elif packet.method == "ACK" and call in self.acked:
            self.acked[call].set()
        elif packet.method == "CANCEL":
            self.line.send(respond(self.line, packet, "200 OK", call))
            if call in self.branches and not self.last[call].startswith("SIP/2.0 4"):
                self.finish(call, self.last[call], "487 Request Terminated")
        elif packet.method == "BYE":
            self.line.send(respond(self.line, packet, "200 OK", call))

    def invited(self, packet: Packet, call: str) -> None:
        if call in self.branches:
            if self.branches[call] != packet.branch:
                self.tally.merged += 1
            self.line.send(self.last[call])
            return
        self.branches[call] = packet.branch
        self.acked[call] = asyncio.Event()
        self.last[call] = respond(self.line, packet, "180 Ringing", call)
        self.line.send(self.last[call])
        if "cancel" not in call:
            self.run(self.decide(packet, call))

    async def decide(self, packet: Packet, call: str) -> None:
        await asyncio.sleep(self.chance.uniform(0.02, 0.6))
        if "busy" in call:
            await self.insist(call, respond(self.line, packet, "486 Busy Here", call))
        else:
            await self.insist(call, respond(self.line, packet, "200 OK", call, SDP))

    def finish(self, call: str, ringing: str, status: str) -> None:
        """End a ringing call with a failure: the head of its 180, another first line."""
        self.run(self.insist(call, f"SIP/2.0 {status}\r\n" + ringing.partition("\r\n")[2]))

    async def insist(self, call: str, final: str) -> None:
        """Send a final response again and again until its ACK comes (timers G and H)."""
        self.last[call] = final
        interval, deadline = T1, time.monotonic() + GIVE_UP
        while time.monotonic() < deadline:
            self.line.send(final)
            try:
                await asyncio.wait_for(self.acked[call].wait(), interval)
            except TimeoutError:
                interval = min(interval * 2, T2)
                self.tally.repeated += 1
                continue
            return
        self.tally.failures.append(f"callee {call}: no ACK for {final.partition(chr(13))[0]}")

    def run(self, what: object) -> None:
        task = asyncio.ensure_future(what)  # type: ignore[arg-type]
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)


class Call:
    """One call from one of our lines to a registered callee, to its very end."""

    def __init__(
        self, line: Line, user: str, kind: str, tally: Tally, chance: random.Random
    ) -> None:
        self.line, self.user, self.kind, self.tally, self.chance = line, user, kind, tally, chance
        self.call_id = f"{kind}-{next(_numbers)}@{line.address}"
        self.from_ = f"<sip:caller@{DOMAIN}>;tag=c{next(_numbers)}"
        self.uri = f"sip:{user}@{DOMAIN}"
        self.in_setup = False
        self.ack = ""
        text = request(
            line,
            "INVITE",
            self.uri,
            self.call_id,
            1,
            self.from_,
            f"<{self.uri}>",
            f"Contact: <sip:caller@{line.address}>\r\n",
            SDP,
        )
        self.inquiry = Inquiry(line, text, invite=True)
        self.other: Inquiry | None = None
        line.owners[self.call_id] = self.handle

    def handle(self, packet: Packet) -> None:
        if packet.method == "INVITE" and self.ack and packet.status >= 200:
            self.line.send(self.ack)  # repeated final: repeat the ACK
        elif packet.method == "INVITE":
            self.inquiry.answers.put_nowait(packet)
        elif self.other:
            self.other.answers.put_nowait(packet)

    def fail(self, what: str) -> None:
        self.tally.failures.append(f"call {self.call_id}: {what}")

    async def run(self) -> None:
        """The whole call; failures are in the tally."""
        self.in_setup = True
        try:
            await self.place()
        finally:
            self.in_setup = False
            count = self.inquiry.repeated + (self.other.repeated if self.other else 0)
            self.tally.repeated += count
            self.tally.calls_with_repetition += bool(count)

    async def place(self) -> None:
        self.line.send(self.inquiry.text)
        if self.kind == "cancel" and not await self.cancel():
            return
        final = await self.inquiry.next(200, 2 * GIVE_UP)
        if final is None:
            self.fail("no final answer")
        elif final.status != {"answer": 200, "busy": 486, "cancel": 487}[self.kind]:
            self.fail(final.first)
        elif final.status != 200:
            self.refuse(final)
        else:
            await self.talk(final)

    def refuse(self, final: Packet) -> None:
        """ACK a failure hop by hop."""
        via = Packet(self.inquiry.text.encode()).get("via")
        self.ack = request(
            self.line, "ACK", self.uri, self.call_id, 1, self.from_, final.get("to"), via=via
        )
        self.line.send(self.ack)
        if self.kind == "busy":
            self.tally.busy += 1
        else:
            self.tally.cancelled += 1

    async def cancel(self) -> bool:
        if await self.inquiry.next(180) is None:
            self.fail("no ringing")
            return False
        await asyncio.sleep(self.chance.uniform(0.0, 0.3))
        via = Packet(self.inquiry.text.encode()).get("via")
        self.other = Inquiry(
            self.line,
            request(
                self.line, "CANCEL", self.uri, self.call_id, 1, self.from_, f"<{self.uri}>", via=via
            ),
            invite=False,
        )
        self.line.send(self.other.text)
        answer = await self.other.next()
        if answer is None or answer.status != 200:
            self.fail(f"CANCEL: {answer.first if answer else 'no answer'}")
            return False
        return True

    async def talk(self, final: Packet) -> None:
        """ACK, talk a little, hang up, all along the recorded route."""
        found = re.search(r"<([^>]+)>", final.get("contact"))
        target = found[1] if found else self.uri
        values = [v.strip() for row in final.all("record-route") for v in row.split(",")]
        routes = "".join(f"Route: {value}\r\n" for value in reversed(values))
        to = final.get("to")
        self.ack = request(self.line, "ACK", target, self.call_id, 1, self.from_, to, routes)
        self.line.send(self.ack)
        self.in_setup = False
        await asyncio.sleep(self.chance.uniform(0.0, 0.4))
        self.other = Inquiry(
            self.line,
            request(self.line, "BYE", target, self.call_id, 2, self.from_, to, routes),
            invite=False,
        )
        self.line.send(self.other.text)
        answer = await self.other.next()
        if answer is None or answer.status != 200:
            self.fail(f"BYE: {answer.first if answer else 'no answer'}")
            return
        self.tally.answered += 1
