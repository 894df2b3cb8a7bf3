"""A telephone that sends OPTIONS to a real server and waits for answers."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

from process_harness import Server


def options(user: str, call_id: str, port: int) -> bytes:
    return (
        f"OPTIONS sip:{user}@127.0.0.1 SIP/2.0\r\n"
        f"Via: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bK{call_id};rport\r\n"
        "From: <sip:a@127.0.0.1>;tag=a\r\nTo: <sip:b@127.0.0.1>\r\n"
        f"Call-ID: {call_id}\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
    ).encode()


def register(user: str, number: int, port: int) -> bytes:
    return (
        "REGISTER sip:127.0.0.1 SIP/2.0\r\n"
        f"Via: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bKr{user}{number};rport\r\n"
        f"From: <sip:{user}@127.0.0.1>;tag=a\r\nTo: <sip:{user}@127.0.0.1>\r\n"
        f"Call-ID: r{user}\r\nCSeq: {number} REGISTER\r\nMax-Forwards: 70\r\n"
        f"Contact: <sip:{user}@127.0.0.1:{port}>\r\nContent-Length: 0\r\n\r\n"
    ).encode()


class Phone:
    """Sends OPTIONS; a Call-ID decides which worker it meets, whoever reads the socket."""

    def __init__(self, client: socket.socket) -> None:
        self.client = client
        self.port = int(client.getsockname()[1])

    def send(self, user: str, call_id: str) -> None:
        self.client.send(options(user, call_id, self.port))

    def register(self, user: str, tries: int = 5) -> bool:
        """REGISTER, and again where nothing is answered; whether it got a 200."""
        for _ in range(tries):
            self.client.send(register(user, 1, self.port))
            deadline = time.monotonic() + 0.2
            while (left := deadline - time.monotonic()) > 0:
                self.client.settimeout(left)
                try:
                    answer = self.client.recv(4_096)
                except TimeoutError:
                    break
                if f"Call-ID: r{user}\r\n".encode() in answer:
                    return answer.startswith(b"SIP/2.0 200")
        return False

    def is_answered(self, call_id: str, within_s: float) -> bool:
        return self.are_answered({call_id}, within_s)

    def are_answered(self, call_ids: set[str], within_s: float) -> bool:
        """Whether each gets its answer."""
        self.client.settimeout(within_s)
        missing = {f"Call-ID: {call_id}".encode() for call_id in call_ids}
        try:
            while missing:
                missing.difference_update(self.client.recv(4_096).split(b"\r\n"))
        except TimeoutError:
            return False
        return True


@contextmanager
def phone_of(server: Server) -> Iterator[Phone]:
    with server.client() as client:
        yield Phone(client)
