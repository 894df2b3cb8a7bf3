"""A telephone booth: a caller and a callee in one loop that waits for what comes to either.

For runs in which a datagram may get lost at any time and nobody has time for T1 of RFC 3261: what
is not answered is sent again after a tenth of a second.
"""

from __future__ import annotations

import itertools
import re
import select
import socket
import time
from typing import Final

from loadtests.servers import DOMAIN
from loadtests.wire import SDP, Packet, request, respond

AGAIN_S: Final = 0.1
PATIENCE_S: Final = 8.0
_numbers = itertools.count(1)


class Line:
    """One socket."""

    def __init__(self, server: tuple[str, int]) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.server = server
        self.address = "{}:{}".format(*self.socket.getsockname())

    def send(self, text: str) -> None:
        """To the server."""
        self.socket.sendto(text.encode(), self.server)


class Booth:
    """Registers users, all of them with the callee's address, and calls them."""

    def __init__(self, server: tuple[str, int]) -> None:
        self.caller, self.callee = Line(server), Line(server)
        self.registered: dict[str, bool] = {}  # what the last 200 of each user said
        self._last: dict[str, str] = {}  # what the callee said last, by Call-ID

    def close(self) -> None:
        """Let go of the sockets."""
        self.caller.socket.close()
        self.callee.socket.close()

    def ask(self, text: str, patience_s: float = PATIENCE_S) -> Packet | None:
        """Send a request until its final response comes."""
        asked = Packet(text.encode())
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline:
            self.caller.send(text)
            again_at = time.monotonic() + AGAIN_S
            while (left := again_at - time.monotonic()) > 0:
                for packet in self._received(left):
                    if packet.status >= 200 and packet.get("cseq") == asked.get("cseq"):
                        return packet
        return None

    def _received(self, wait_s: float) -> list[Packet]:
        """What comes to the caller; the callee answers at once what comes to it."""
        lines = [self.caller.socket, self.callee.socket]
        ready = select.select(lines, [], [], wait_s)[0]
        if self.callee.socket in ready:
            self._answer(Packet(self.callee.socket.recv(65_536)))
        if self.caller.socket in ready:
            return [Packet(self.caller.socket.recv(65_536))]
        return []

    def _answer(self, packet: Packet) -> None:
        if packet.status or packet.method == "ACK":
            return
        tag = packet.get("call-id")
        if packet.method == "INVITE":
            self.callee.send(respond(self.callee, packet, "180 Ringing", tag))
            self.callee.send(respond(self.callee, packet, "200 OK", tag, SDP))
        else:
            self.callee.send(respond(self.callee, packet, "200 OK", tag))

    def register(self, user: str, expires: int = 600) -> int:
        """REGISTER; the status of the answer, 0 for none."""
        address, number = f"<sip:{user}@{DOMAIN}>", next(_numbers)
        answer = self.ask(
            request(
                self.caller,
                "REGISTER",
                f"sip:{DOMAIN}",
                f"register-{user}",
                number,
                f"{address};tag={user}",
                address,
                f"Contact: <sip:{user}@{self.callee.address}>\r\nExpires: {expires}\r\n",
            )
        )
        if answer is None or answer.status != 200:
            self.registered.pop(user, None)  # nobody knows
            return answer.status if answer else 0
        self.registered[user] = expires > 0
        return 200

    def options(self) -> int:
        """OPTIONS to the server itself; the status of the answer, 0 for none."""
        number, address = next(_numbers), f"<sip:probe@{DOMAIN}>"
        answer = self.ask(
            request(
                self.caller,
                "OPTIONS",
                f"sip:{DOMAIN}",
                f"o{number}",
                1,
                f"{address};tag=o",
                address,
            )
        )
        return answer.status if answer else 0

    def call(self, user: str) -> tuple[int, int]:
        """INVITE, ACK and BYE; the statuses of INVITE and BYE, 0 for what was not answered."""
        number = next(_numbers)
        caller, uri, name = (
            f"<sip:caller@{DOMAIN}>;tag=c{number}",
            f"sip:{user}@{DOMAIN}",
            f"c{number}",
        )
        contact = f"Contact: <sip:caller@{self.caller.address}>\r\n"
        invite = request(self.caller, "INVITE", uri, name, number, caller, f"<{uri}>", contact, SDP)
        final = self.ask(invite)
        if final is None:
            return 0, 0
        if final.status != 200:
            via = Packet(invite.encode()).get("via")
            self.caller.send(
                request(self.caller, "ACK", uri, name, number, caller, final.get("to"), via=via)
            )
            return final.status, 0
        found = re.search(r"<([^>]+)>", final.get("contact"))
        target = found[1] if found else uri
        values = [v.strip() for row in final.all("record-route") for v in row.split(",")]
        routes = "".join(f"Route: {value}\r\n" for value in reversed(values))
        to = final.get("to")
        self.caller.send(request(self.caller, "ACK", target, name, number, caller, to, routes))
        bye = self.ask(request(self.caller, "BYE", target, name, number + 1, caller, to, routes))
        return 200, bye.status if bye else 0
