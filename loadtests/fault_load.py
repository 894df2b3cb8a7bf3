"""Telephones that register, refresh and unregister at any node, and remember what was acknowledged.

They come in waves, so that between two of them the nodes can be seen to hold the same. One that
gets no answer asks another node the next time, as telephones do; what became of its request it
cannot know, until a later one is acknowledged.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, cast

from loadtests.namespaces import HERE
from loadtests.servers import DOMAIN

SIP_PORT: Final = 5060
WAVE_S: Final = 1.2
BUSY_S: Final = 0.6  # of each wave
PATIENCE_S: Final = (0.5, 1.0, 2.0, 1.5)  # repetitions, as RFC 3261 has them, and then it gives up
EXPIRES: Final = 3_600
TOGETHER: Final = 50
_numbers = itertools.count(1)
Place = tuple[str, int]


@dataclass(frozen=True)
class Operation:
    """One REGISTER: whether it was to bind or to remove the contact, and where it was sent."""

    cseq: int
    binds: bool
    node: int
    at: float


class Line(asyncio.DatagramProtocol):
    """A socket that many telephones share."""

    def __init__(self) -> None:
        self.waiting: dict[bytes, asyncio.Future[int]] = {}
        self.transport: asyncio.DatagramTransport | None = None
        self.address = ""

    @classmethod
    async def open(cls) -> Line:
        line = cls()
        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(lambda: line, local_addr=(HERE, 0))
        return line

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)
        self.address = "{}:{}".format(*transport.get_extra_info("sockname"))

    def datagram_received(self, data: bytes, addr: tuple[str | object, int]) -> None:
        branch = data.partition(b"branch=")[2][:32].partition(b";")[0].partition(b"\r")[0]
        waiting = self.waiting.get(branch)
        if waiting and not waiting.done() and data[8:9] != b"1":
            waiting.set_result(int(data[8:11]))

    def error_received(self, exc: Exception) -> None:
        """A node that is not there: to a telephone, the same as no answer."""


class Telephone:
    """One user with one contact; one request at a time."""

    def __init__(self, user: str, line: Line, home: int) -> None:
        self.user, self.line, self.home = user, line, home
        self.cseq = 0
        self.confirmed: Operation | None = None
        self.unanswered: list[Operation] = []  # after the confirmed one
        self.history: list[str] = []

    async def register(self, binds: bool, node: int, place: Place) -> bool:
        """Send a REGISTER until it is answered; whether it was, with 200."""
        self.cseq += 1
        operation = Operation(self.cseq, binds, node, time.time())
        branch = f"z9hG4bK{next(_numbers)}"
        text = self._text(branch, EXPIRES if binds else 0)
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.line.waiting[branch.encode()] = future
        assert self.line.transport is not None
        status = 0
        for patience in PATIENCE_S:
            self.line.transport.sendto(text, place)
            with suppress(TimeoutError):
                status = await asyncio.wait_for(asyncio.shield(future), patience)
                break
        del self.line.waiting[branch.encode()]
        self._note(operation, status)
        return status == 200

    def _note(self, operation: Operation, status: int) -> None:
        self.history.append(
            f"{operation.at % 1000:.3f} {'+' if operation.binds else '-'}{operation.cseq}"
            f" at {operation.node}: {status}"
        )
        if status == 200:
            self.confirmed = operation
            self.unanswered.clear()
        elif not status:
            self.unanswered.append(operation)

    def _text(self, branch: str, expires: int) -> bytes:
        address = f"<sip:{self.user}@{DOMAIN}>"
        return (
            f"REGISTER sip:{DOMAIN} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {self.line.address};branch={branch};rport\r\n"
            f"From: {address};tag={self.user}\r\nTo: {address}\r\nCall-ID: {self.user}\r\n"
            f"CSeq: {self.cseq} REGISTER\r\nMax-Forwards: 70\r\n"
            f"Contact: <sip:{self.user}@{self.line.address}>\r\nExpires: {expires}\r\n"
            "Content-Length: 0\r\n\r\n"
        ).encode()

    def judge(self, cseq: int | None) -> str:
        """What a node that has this contact (None: no contact) made of the last word."""
        sure = self.confirmed
        if sure is None:
            return "well"
        allowed = {(each.cseq if each.binds else None) for each in (sure, *self.unanswered)}
        if cseq in allowed:
            return "well"
        return "lost" if sure.binds else "resurrected"


class Load:
    """All telephones."""

    def __init__(self, places: dict[int, Place], seed: int, roaming: bool) -> None:
        self.places, self.roaming = places, roaming
        self.chance = random.Random(seed)
        self.telephones: list[Telephone] = []
        self.acknowledged = self.refused = self.unanswered = 0
        self.stopped = asyncio.Event()

    async def open(self, quiet: int, busy: int) -> None:
        """Register everybody once; `quiet` ones do nothing after that."""
        lines = [await Line.open() for _ in range(8)]
        nodes = list(self.places)
        for number in range(quiet + busy):
            kind = "quiet" if number < quiet else "busy"
            home = nodes[number % len(nodes)]
            self.telephones.append(Telephone(f"{kind}{number}", lines[number % 8], home))
        for start in range(0, len(self.telephones), TOGETHER):
            some = self.telephones[start : start + TOGETHER]
            await asyncio.gather(*(self._do(each, True, each.home) for each in some))

    async def run(self) -> None:
        """Until stopped: each busy telephone at its own pace, in waves."""
        busy = [each for each in self.telephones if each.user.startswith("busy")]
        await asyncio.gather(*(self._live(each) for each in busy))

    async def _live(self, telephone: Telephone) -> None:
        avoided = 0
        while not self.stopped.is_set():
            await asyncio.sleep(self.chance.uniform(0.1, 0.9))
            if (phase := time.monotonic() % WAVE_S) > BUSY_S:
                await asyncio.sleep(WAVE_S - phase + self.chance.uniform(0, BUSY_S))
            if self.stopped.is_set():
                return
            node = telephone.home
            if self.roaming:
                node = self.chance.choice([each for each in self.places if each != avoided])
            done = await self._do(telephone, self.chance.random() < 0.6, node)
            avoided = 0 if done else node

    async def _do(self, telephone: Telephone, binds: bool, node: int) -> bool:
        done = await telephone.register(binds, node, self.places[node])
        self.acknowledged += done
        if telephone.unanswered:
            self.unanswered += 1
        elif not done:
            self.refused += 1
        return done

    def verdict(self, contacts: dict[str, int]) -> dict[str, list[str]]:
        """Who is lost and who has come back from the dead in what one node has."""
        found: dict[str, list[str]] = {"well": [], "lost": [], "resurrected": []}
        for each in self.telephones:
            cseq = contacts.get(each.user)
            tale = f"{each.user} has {cseq}: {'; '.join(each.history[-5:])}"
            found[each.judge(cseq)].append(tale)
        return found
