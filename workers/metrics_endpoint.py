"""`GET /metrics` over HTTP, in the control process, for a scraper and against everybody else.

One request per connection. Whoever is slow, sends too much or comes too often is cut off; what is
rendered is good for a second, so that asking often costs little.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from typing import Final

from workers.child import Child
from workers.connections import Connections, Stream, TooLong
from workers.metrics import NodeMetrics
from workers.setting_types import Endpoint

HEADER_BYTES: Final = 8_192
CONNECTIONS: Final = 16
END: Final = b"\r\n\r\n"
PATIENCE_S: Final = 5.0  # for the request to come, and for the answer to be read
FRESH_S: Final = 1.0
AGAIN_S: Final = 5.0  # until it tries to listen once more
PAUSE_S: Final = 1.0  # of accepting, when the system refuses to
BACKLOG: Final = 128
FAULT: Final = 500
REASONS: Final = {200: "OK", 400: "Bad Request", 404: "Not Found", FAULT: "Internal Server Error"}
PLAIN: Final = "text/plain; charset=utf-8"
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


def status_of(head: bytes) -> int:
    """What a request deserves, by its first line."""
    words = head.partition(b"\r\n")[0].split(b" ")
    if len(words) != 3 or not words[2].startswith(b"HTTP/1."):
        return 400
    path = words[1].partition(b"?")[0]
    return 200 if words[0] == b"GET" and path == b"/metrics" else 404


def answer_to(status: int, body: bytes, kind: str = PLAIN) -> bytes:
    """A whole HTTP answer."""
    head = (
        f"HTTP/1.1 {status} {REASONS[status]}\r\nContent-Type: {kind}\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body


class MetricsEndpoint:
    """Answers scrapers; `clock` says how old what was rendered is."""

    def __init__(self, child: Child, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = child.log
        self._metrics = NodeMetrics(child)
        self._clock = clock
        self._rendered = b""
        self._rendered_at = float("-inf")
        of = str(child.config.metrics.listen)
        self._connections = Connections(of, CONNECTIONS, self.converse, child.log)

    async def serve(self, address: Endpoint) -> None:
        """Listen, and try again while the address is taken or not here; ends by cancellation.

        Neither is a reason to go without `sipherd ctl`, which the same process answers.
        """
        told, listener = "", None
        while True:
            try:
                if listener is None:
                    listener = _listen(address)
                    self._log.info("metrics are served", address=str(address))
                self._connections.listen(listener)
            except (OSError, MemoryError) as error:
                reason = getattr(error, "strerror", None) or repr(error)
                if told != (told := reason):
                    self._log.error("metrics not served", address=str(address), reason=told)
            await asyncio.sleep(AGAIN_S if listener is None else PAUSE_S)

    async def converse(self, stream: Stream) -> None:
        """One request, one answer."""
        async with asyncio.timeout(PATIENCE_S):
            try:
                head = await stream.read_until(END, HEADER_BYTES)
            except TooLong:
                await stream.send(answer_to(400, b"The request is too long.\n"))
                return
            if head.endswith(END):
                self._connections.used(stream)
                await stream.send(self.answer(head))

    def answer(self, head: bytes) -> bytes:
        """The answer to a request with these header fields."""
        status = status_of(head)
        if status != 200:
            return answer_to(status, b"There is /metrics here, by GET, and nothing else.\n")
        now = self._clock()
        if now - self._rendered_at >= FRESH_S:
            try:
                self._rendered = answer_to(200, self._metrics.text(), CONTENT_TYPE)
            except Exception as error:  # noqa: BLE001 - a fault here is this scraper's answer
                self._log.error("metrics failed", error=repr(error))
                return answer_to(FAULT, b"The log says what is wrong.\n")
            self._rendered_at = now
        return self._rendered


def _listen(address: Endpoint) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    listener = socket.create_server((address.host, address.port), family=family, backlog=BACKLOG)
    listener.setblocking(False)
    return listener
