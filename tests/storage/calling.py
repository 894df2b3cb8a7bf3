"""Calls through a real node, byte by byte: set up, and ended by either side."""

from __future__ import annotations

import re
import socket

from loadtests.registering import Node

POLICY = """
from proxy.routing.request import Request


async def on_request(request: Request) -> None:
    if request.in_dialog:
        request.relay()
    elif request.method == "REGISTER":
        request.save()
    else:
        request.record_route()
        if request.create_dialog("P") is not None:
            request.dialog.set_variable(b"account", b"17#4|x")
            request.join_profile("caller", "alice")
            request.join_profile("all")
        request.relay()
"""
SETTINGS = """[dialog]
enabled = true
profiles = ["caller"]
profiles_no_value = ["all"]
delete_delay = 0
options_ping_interval = 3600
db_mode = "{mode}"
{more}
[routing]
script = "policy.py"
"""


def lines(datagram: str, name: str) -> list[str]:
    """All lines of a header as they stand."""
    return re.findall(rf"^{name}: .*$", datagram.replace("\r", ""), re.MULTILINE)


def tag_of(datagram: str, name: str) -> str:
    (line,) = lines(datagram, name)
    return line.partition(";tag=")[2]


class Side:
    """One end of calls: a socket."""

    def __init__(self, node: Node) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(20)
        self.port = int(self.socket.getsockname()[1])
        self.node = node

    def send(self, *text: str) -> None:
        datagram = "\r\n".join(each for each in text if each) + "\r\nContent-Length: 0\r\n\r\n"
        self.socket.sendto(datagram.encode(), ("127.0.0.1", self.node.port))

    def receive(self, first: str) -> str:
        """The next datagram that begins so; others are passed over."""
        while True:
            datagram = self.socket.recv(65_535).decode()
            if datagram.startswith(first):
                return datagram

    def answer(self, request: str, status: str, *more: str) -> None:
        copied = [each for name in ("Via", "Record-Route") for each in lines(request, name)]
        (to,) = lines(request, "To")
        if ";tag=" not in to:
            to += f";tag=callee{self.port}"
        same = [lines(request, name)[0] for name in ("From", "Call-ID", "CSeq")]
        self.send(f"SIP/2.0 {status}", *copied, to, *same, *more)


class Call:
    """A call between two sides that is up when it has been made."""

    def __init__(self, caller: Side, callee: Side, number: int) -> None:
        self.caller, self.callee = caller, callee
        self.call_id = f"call-{number}-{caller.port}"
        self.from_line = f"From: <sip:alice@example.com>;tag=c{number}"
        caller.send(
            f"INVITE sip:bob@127.0.0.1:{callee.port} SIP/2.0",
            self._via(caller, f"i{self.call_id}"),
            self.from_line,
            "To: <sip:bob@example.com>",
            f"Call-ID: {self.call_id}",
            "CSeq: 5 INVITE",
            "Max-Forwards: 70",
            f"Contact: <sip:alice@127.0.0.1:{caller.port}>",
        )
        invite = callee.receive("INVITE")
        callee.answer(invite, "200 OK", f"Contact: <sip:bob@127.0.0.1:{callee.port}>")
        answer = caller.receive("SIP/2.0 200")
        self.to_line = lines(answer, "To")[0]
        self.routes = [
            each.replace("Record-Route", "Route") for each in lines(answer, "Record-Route")
        ]
        self.within(caller, "ACK", 5)
        callee.receive("ACK")

    @staticmethod
    def _via(side: Side, name: str) -> str:
        return f"Via: SIP/2.0/UDP 127.0.0.1:{side.port};branch=z9hG4bK{name};rport"

    def within(self, side: Side, method: str, cseq: int) -> None:
        """Send a request inside the dialog."""
        other = self.callee if side is self.caller else self.caller
        ends = [self.from_line, self.to_line]
        if side is self.callee:
            ends = [
                self.to_line.replace("To:", "From:"),
                self.from_line.replace("From:", "To:"),
            ]
        side.send(
            f"{method} sip:x@127.0.0.1:{other.port} SIP/2.0",
            self._via(side, f"{method}{cseq}{self.call_id}"),
            *self.routes,
            *ends,
            f"Call-ID: {self.call_id}",
            f"CSeq: {cseq} {method}",
            "Max-Forwards: 70",
        )

    def hang_up(self, side: Side, cseq: int) -> None:
        """BYE, and its 200."""
        other = self.callee if side is self.caller else self.caller
        self.within(side, "BYE", cseq)
        other.answer(other.receive("BYE"), "200 OK")
        side.receive("SIP/2.0 200")
