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
from dataclasses import dataclass, field

from loadtests.servers import DOMAIN
from loadtests.wire import GIVE_UP, SDP, T1, T2, Inquiry, Line, Packet, request, respond

PATIENCE = 20  # how often in a row a telephone lets itself be told to come again
_numbers = itertools.count(1)


@dataclass
class Tally:
    """What a run did, and what went wrong in it."""

    registered: int = 0
    unregistered: int = 0
    answered: int = 0
    busy: int = 0
    cancelled: int = 0
    told_to_wait: int = 0
    unanswered: int = 0
    repeated: int = 0
    calls_with_repetition: int = 0
    merged: int = 0
    failures: list[str] = field(default_factory=list)


class Registrant:
    """One address of record with one contact; knows what the registrar has confirmed.

    A stubborn one begins anew after 32 seconds without an answer; else that is a failure.
    """

    def __init__(self, user: str, line: Line, tally: Tally, is_stubborn: bool = False) -> None:
        self.is_stubborn = is_stubborn
        self.user, self.line, self.tally = user, line, tally
        self.contact = f"sip:{user}@{line.address}"
        self.call_id = f"reg-{user}-{next(_numbers)}@{line.address}"
        self.cseq = 0
        self.bound: bool | None = False  # None: asked, and never answered

    async def register(self, expires: int) -> None:
        """REGISTER until answered; `bound` is what the 200 said.

        A server that cannot keep its promise just now says 503 and when to come again (§20.33).
        """
        answer = await self._ask(expires)
        for _ in range(PATIENCE):
            if answer is not None and answer.status == 503:
                self.tally.told_to_wait += 1
                await asyncio.sleep(float(answer.get("retry-after") or T2))
            elif answer is None and self.is_stubborn:
                self.tally.unanswered += 1
            else:
                break
            answer = await self._ask(expires)
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

    async def _ask(self, expires: int) -> Packet | None:
        """One REGISTER; its final answer."""
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
        return answer


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


class Hanging(Callee):
    """A callee that can hang up; its `handle` gives responses to `asked`."""

    ends: tuple[int, ...] = (200,)  # what a BYE may come to

    def __init__(self, line: Line, tally: Tally, chance: random.Random) -> None:
        super().__init__(line, tally, chance)
        self.asked: dict[str, Inquiry] = {}

    async def hang_up(self, invite: Packet, call: str) -> None:
        """BYE along the recorded route, from the callee's side."""
        found = re.search(r"<([^>]+)>", invite.get("contact"))
        values = [v.strip() for row in invite.all("record-route") for v in row.split(",")]
        routes = "".join(f"Route: {value}\r\n" for value in values)
        me = f"{invite.get('to')};tag={call}"
        text = request(
            self.line, "BYE", found[1] if found else "", call, 1, me, invite.get("from"), routes
        )
        inquiry = self.asked[call] = Inquiry(self.line, text, invite=False)
        self.line.send(text)
        answer = await inquiry.next()
        if answer is None or answer.status not in self.ends:
            self.tally.failures.append(f"callee {call}: BYE: {answer.first if answer else None}")


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
