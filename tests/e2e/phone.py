"""A scripted telephone on a raw UDP socket: every byte it sends is the test's own."""

from __future__ import annotations

import itertools
import re
import socket
import time
from types import TracebackType
from typing import Self

from loadtests.ports import free_port
from loadtests.servers import DOMAIN, hostport

PATIENCE_S = 20.0  # nothing is wrong with a machine that is busy with something else
_serial = itertools.count(1)

SDP = (
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    "m=audio 23998 RTP/AVP 0 8\r\n"
)


class Received:
    """One datagram as received, with just enough parsing to write a test."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        head, _, body = data.partition(b"\r\n\r\n")
        first, *lines = head.decode("utf-8", "surrogateescape").split("\r\n")
        self.first_line = first
        self.body = body
        self.headers = [
            (name.strip(), value.strip()) for name, _, value in (x.partition(":") for x in lines)
        ]

    @property
    def status(self) -> int:
        """Status code of a response, 0 for a request."""
        return int(self.first_line.split()[1]) if self.first_line.startswith("SIP/2.0 ") else 0

    @property
    def method(self) -> str:
        """Method of a request, or of the request that a response answers."""
        return self.get("CSeq").split()[1] if self.status else self.first_line.split()[0]

    @property
    def uri(self) -> str:
        """The Request-URI."""
        return self.first_line.split()[1]

    def all(self, name: str) -> list[str]:
        """Every value line of a header, by its full name, in order."""
        return [value for found, value in self.headers if found.lower() == name.lower()]

    def get(self, name: str) -> str:
        """The first value of a header, or an empty string."""
        return next(iter(self.all(name)), "")

    def tag(self, name: str) -> str:
        """The tag parameter of From or To."""
        match = re.search(r";tag=([^;>\s]+)", self.get(name))
        return match[1] if match else ""

    @property
    def branch(self) -> str:
        """The branch of the topmost Via."""
        match = re.search(r";branch=([^;,\s]+)", self.get("Via"))
        return match[1] if match else ""

    def __repr__(self) -> str:
        return f"<{self.first_line}>"


class Phone:
    """One socket of its own, one address of record, one server."""

    def __init__(self, user: str, server: tuple[str, int], local: str = "127.0.0.1") -> None:
        self.user = user
        self.server = server
        family = socket.AF_INET6 if ":" in local else socket.AF_INET
        self.sock = socket.socket(family, socket.SOCK_DGRAM)
        self.sock.bind((local, free_port()))
        self.address = hostport(*self.sock.getsockname()[:2])
        self.aor = f"sip:{user}@{DOMAIN}"
        self.contact = f"<sip:{user}@{self.address}>"
        self.cseq = 0
        self.seen: set[bytes] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.sock.close()

    # --- raw traffic ---

    def send(self, data: str | bytes, to: tuple[str, int] | None = None) -> None:
        """Send these bytes as they are."""
        raw = data.encode("utf-8", "surrogateescape") if isinstance(data, str) else data
        self.sock.sendto(raw, to or self.server)

    def receive_raw(self, timeout: float = 2.0) -> bytes | None:
        """The next datagram, whatever it is, or None."""
        self.sock.settimeout(max(timeout, 0.001))
        try:
            return self.sock.recv(65_535)
        except (TimeoutError, ConnectionRefusedError):
            return None

    def expect(
        self,
        status: int = 0,
        method: str = "",
        timeout: float = PATIENCE_S,
        skip: tuple[int, ...] = (100,),
    ) -> Received:
        """The next message, which must be this response or this request.

        Provisional responses listed in `skip` are passed over, and what else is here already: it
        comes again where this phone was slow to answer.
        """
        deadline = time.monotonic() + timeout
        while (data := self.receive_raw(deadline - time.monotonic())) is not None:
            got = Received(data)
            if got.status and got.status in skip and got.status != status:
                continue
            wanted = (not method or got.method == method) and got.status == status
            if not wanted and data in self.seen:
                continue
            self.seen.add(data)
            assert wanted, f"{self.user} expected {status or ''} {method}, got:\n{data!r}"
            return got
        raise AssertionError(f"{self.user} expected {status or ''} {method}, got nothing")

    def forget_the_rest(self) -> None:
        """Whatever has come so far is not looked at."""
        while self.receive_raw(0.0) is not None:
            pass

    def expect_nothing(self, seconds: float = 0.3, skip: tuple[int, ...] = ()) -> None:
        """Nothing may arrive for this long, but for the responses in `skip`."""
        deadline = time.monotonic() + seconds
        while (data := self.receive_raw(deadline - time.monotonic())) is not None:
            assert Received(data).status in skip, f"{self.user} expected nothing, got:\n{data!r}"

    # --- messages ---

    def via(self) -> str:
        """A Via line with a branch of its own."""
        return f"Via: SIP/2.0/UDP {self.address};branch=z9hG4bK-e2e-{next(_serial)};rport"

    def request(
        self,
        method: str,
        uri: str = "",
        *,
        to: str = "",
        headers: str = "",
        body: str = "",
        call_id: str = "",
        cseq: int = 0,
        via: str = "",
        from_tag: str = "",
        max_forwards: int = 70,
    ) -> str:
        """A request of this phone; `headers` are whole lines, each ended by CRLF."""
        self.cseq = cseq or self.cseq + 1
        serial = next(_serial)
        kind = "Content-Type: application/sdp\r\n" if body else ""
        return (
            f"{method} {uri or 'sip:' + DOMAIN} SIP/2.0\r\n{via or self.via()}\r\n"
            f"Max-Forwards: {max_forwards}\r\n"
            f"From: <{self.aor}>;tag={from_tag or f'f{serial}'}\r\nTo: {to or f'<{self.aor}>'}\r\n"
            f"Call-ID: {call_id or f'e2e-{serial}-{self.user}@{self.address}'}\r\n"
            f"CSeq: {self.cseq} {method}\r\n{headers}{kind}"
            f"Content-Length: {len(body.encode())}\r\n\r\n{body}"
        )

    def register(
        self, expires: int = 3600, contact: str = "", call_id: str = "", status: int = 200
    ) -> Received:
        """REGISTER and expect `status`."""
        line = f"Contact: {contact or self.contact}\r\nExpires: {expires}\r\n"
        self.send(
            self.request(
                "REGISTER",
                headers=line,
                call_id=call_id or f"reg-{self.user}@{self.address}",
            )
        )
        return self.expect(status, "REGISTER")

    def invite(self, callee: str, headers: str = "", via: str = "") -> str:
        """An INVITE with an offer, as text: the test sends it, once or again."""
        aor = callee if callee.startswith("sip:") else f"sip:{callee}@{DOMAIN}"
        return self.request(
            "INVITE",
            aor,
            to=f"<{aor}>",
            headers=f"Contact: {self.contact}\r\n{headers}",
            body=SDP,
            via=via,
        )

    def respond(
        self,
        request: Received,
        status: int,
        reason: str,
        tag: str = "",
        body: str = "",
        headers: str = "",
    ) -> None:
        """Answer a request as RFC 3261 §8.2.6 says: Via, Record-Route and the rest copied."""
        lines = [f"SIP/2.0 {status} {reason}"]
        for name in ("Via", "Record-Route", "From"):
            lines += [f"{name}: {value}" for value in request.all(name)]
        to = request.get("To")
        lines.append(f"To: {to}" if ";tag=" in to else f"To: {to};tag={tag or 't' + self.user}")
        lines += [f"Call-ID: {request.get('Call-ID')}", f"CSeq: {request.get('CSeq')}"]
        lines.append(f"Contact: {self.contact}")
        if body:
            lines.append("Content-Type: application/sdp")
        lines.append(f"Content-Length: {len(body)}")
        self.send("\r\n".join(lines) + f"\r\n{headers}\r\n{body}")

    def ack_failure(self, invite: str, final: Received) -> None:
        """The hop-by-hop ACK of a failed INVITE: same Via, same Request-URI (§17.1.1.3)."""
        sent = Received(invite.encode())
        self.send(
            f"ACK {sent.uri} SIP/2.0\r\nVia: {sent.get('Via')}\r\nMax-Forwards: 70\r\n"
            f"From: {sent.get('From')}\r\nTo: {final.get('To')}\r\n"
            f"Call-ID: {sent.get('Call-ID')}\r\nCSeq: {sent.get('CSeq').split()[0]} ACK\r\n"
            "Content-Length: 0\r\n\r\n"
        )

    def cancel(self, invite: str) -> None:
        """CANCEL of an INVITE that was sent (§9.1)."""
        sent = Received(invite.encode())
        self.send(
            f"CANCEL {sent.uri} SIP/2.0\r\nVia: {sent.get('Via')}\r\nMax-Forwards: 70\r\n"
            f"From: {sent.get('From')}\r\nTo: {sent.get('To')}\r\n"
            f"Call-ID: {sent.get('Call-ID')}\r\nCSeq: {sent.get('CSeq').split()[0]} CANCEL\r\n"
            "Content-Length: 0\r\n\r\n"
        )

    def in_dialog(self, method: str, invite: str, answer: Received, cseq: int) -> str:
        """A request of the caller inside the dialog that `answer` made, by its route set."""
        sent = Received(invite.encode())
        target = re.search(r"<([^>]+)>", answer.get("Contact"))
        assert target, f"no Contact in {answer.data!r}"
        routes = [r.strip() for line in answer.all("Record-Route") for r in line.split(",")]
        return (
            f"{method} {target[1]} SIP/2.0\r\n{self.via()}\r\nMax-Forwards: 70\r\n"
            + "".join(f"Route: {route}\r\n" for route in reversed(routes))
            + f"From: {sent.get('From')}\r\nTo: {answer.get('To')}\r\n"
            f"Call-ID: {sent.get('Call-ID')}\r\nCSeq: {cseq} {method}\r\n"
            "Content-Length: 0\r\n\r\n"
        )
