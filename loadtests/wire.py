"""SIP on the wire as a telephone sees it: messages, a socket, a request that is repeated."""

from __future__ import annotations

import asyncio
import itertools
import re
import time
from collections.abc import Callable
from typing import Protocol, cast

from loadtests.ports import free_port

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
    async def open(cls, server: tuple[str, int], host: str = "127.0.0.1") -> Line:
        line = cls(server)
        port = free_port()
        await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: line, local_addr=(host, port)
        )
        line.address = f"{host}:{port}"
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


class Addressed(Protocol):
    """Whoever has an address to put into Via and Contact."""

    address: str


def request(
    line: Addressed,
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


def respond(
    line: Addressed, to: Packet, status: str, tag: str, body: str = "", user: str = "callee"
) -> str:
    """A whole response as text."""
    rows = [f"SIP/2.0 {status}", *(f"Via: {v}" for v in to.all("via"))]
    rows += [f"Record-Route: {v}" for v in to.all("record-route")]
    target = to.get("to")
    rows += [
        f"From: {to.get('from')}",
        f"To: {target}" if "tag=" in target else f"To: {target};tag={tag}",
        f"Call-ID: {to.get('call-id')}",
        f"CSeq: {to.get('cseq')}",
        f"Contact: <sip:{user}@{line.address}>",
    ]
    if body:
        rows.append("Content-Type: application/sdp")
    return "\r\n".join([*rows, f"Content-Length: {len(body)}", "", body])
