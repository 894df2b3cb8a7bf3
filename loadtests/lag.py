"""How soon is a phone that one server has accepted reached through another?

For each of many fresh phones: REGISTER at the first, wait for the 200, then send OPTIONS for it to
the second every 200 microseconds until that one forwards it to the contact. The lag is from the 200
to the arrival of the forwarded OPTIONS. It works on any two registrars that share contacts.
"""

from __future__ import annotations

import select
import socket
import time
from typing import Any

from loadtests.ports import free_port
from loadtests.servers import DOMAIN, hostport

STEP_S = 0.0002
LOST_S = 2.0
Place = tuple[str, int]


class Probe:
    """One socket that is every phone."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", free_port()))
        self.address = hostport(*self.socket.getsockname())
        self.run = f"{time.time_ns():x}"

    def request(self, method: str, uri: str, user: str, number: int, more: str = "") -> bytes:
        """A request of a phone."""
        name = f"{self.run}{user}x{number}"
        return (
            f"{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {self.address};"
            f"branch=z9hG4bK{method}{name};rport\r\nFrom: <sip:{user}@{DOMAIN}>;tag=t{number}\r\n"
            f"To: <sip:{user}@{DOMAIN}>\r\nCall-ID: {method}-{name}\r\n"
            f"CSeq: {number} {method}\r\nMax-Forwards: 70\r\n{more}Content-Length: 0\r\n\r\n"
        ).encode()

    def register(self, server: Place, user: str) -> bool:
        """Register one phone; whether it was accepted."""
        contact = f"Contact: <sip:{user}@{self.address}>;expires=600\r\n"
        self.socket.sendto(self.request("REGISTER", f"sip:{DOMAIN}", user, 1, contact), server)
        deadline = time.monotonic() + LOST_S
        while (left := deadline - time.monotonic()) > 0:
            data = self._receive(left)
            if b" REGISTER\r\n" in data and user.encode() in data:
                return data.startswith(b"SIP/2.0 200")
        return False

    def lag(self, server: Place, user: str) -> float:
        """Seconds until the other server knows the phone; -1 if it never does."""
        began, number = time.monotonic(), 0
        while time.monotonic() - began < LOST_S:
            number += 1
            uri = f"sip:{user}@{DOMAIN}"
            self.socket.sendto(self.request("OPTIONS", uri, user, number), server)
            until = time.monotonic() + STEP_S
            while (left := until - time.monotonic()) > 0:
                data = self._receive(left)
                if data.startswith(b"OPTIONS ") and user.encode() in data.split(b"\r\n", 1)[0]:
                    return time.monotonic() - began
        return -1.0

    def _receive(self, wait_s: float) -> bytes:
        if not select.select([self.socket], [], [], wait_s)[0]:
            return b""
        return self.socket.recv(65_535)


def measure_lag(first: Place, second: Place, count: int = 300) -> dict[str, Any]:
    """Percentiles in milliseconds over `count` phones, and how many never came."""
    probe = Probe()
    lags: list[float] = []
    lost = 0
    for number in range(count):
        user = f"lag{probe.run}{number}"
        lag = probe.lag(second, user) if probe.register(first, user) else -1.0
        if lag < 0:
            lost += 1
        else:
            lags.append(lag * 1e3)
    probe.socket.close()
    lags.sort()

    def share(part: float) -> float | None:
        return round(lags[min(len(lags) - 1, int(len(lags) * part))], 3) if lags else None

    return {"p50_ms": share(0.5), "p99_ms": share(0.99), "max_ms": share(1.0), "lost": lost}
