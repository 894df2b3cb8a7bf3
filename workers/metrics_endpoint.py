"""`GET /metrics` over HTTP, in the control process, for a scraper and against everybody else.

One request per connection. Whoever is slow, sends too much or comes too often is cut off; what is
rendered is good for a second, so that asking often costs little.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from workers.child import Child
from workers.metrics import NodeMetrics
from workers.setting_types import Endpoint

HEADER_BYTES: Final = 8_192
CONNECTIONS: Final = 16
PATIENCE_S: Final = 5.0  # for the request to come, and for the answer to be read
FRESH_S: Final = 1.0
AGAIN_S: Final = 5.0
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
        self._open: dict[asyncio.StreamWriter, None] = {}  # the oldest first

    async def serve(self, address: Endpoint) -> None:
        """Listen, and try again while the address is taken or not here; ends by cancellation.

        Neither is a reason to go without `sipherd ctl`, which the same process answers.
        """
        told = ""
        while True:
            try:
                server = await asyncio.start_server(
                    self.converse, address.host, address.port, limit=HEADER_BYTES, backlog=BACKLOG
                )
            except OSError as error:
                if told != (told := str(error.strerror)):
                    self._log.error("metrics not served", address=str(address), reason=told)
                await asyncio.sleep(AGAIN_S)
                continue
            self._log.info("metrics are served", address=str(address))
            async with server:
                await server.serve_forever()

    def hang_up(self) -> None:
        """End all connections."""
        for writer in self._open:
            writer.transport.abort()

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request, one answer; one connection too many costs the oldest its place."""
        if len(self._open) >= CONNECTIONS:
            oldest = next(iter(self._open))
            del self._open[oldest]
            oldest.transport.abort()
        self._open[writer] = None
        try:
            async with asyncio.timeout(PATIENCE_S):
                writer.write(self.answer(await reader.readuntil(b"\r\n\r\n")))
                await writer.drain()
                writer.close()
                await writer.wait_closed()
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            writer.transport.abort()
        except asyncio.LimitOverrunError:
            writer.write(answer_to(400, b"The request is too long.\n"))
            writer.close()
        finally:
            self._open.pop(writer, None)

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


def start(child: Child) -> Callable[[], None]:
    """Serve beside whatever the running loop does; the result ends it."""
    address = child.config.metrics.listen
    assert address is not None
    endpoint = MetricsEndpoint(child)
    serving = asyncio.get_running_loop().create_task(endpoint.serve(address))

    def end() -> None:
        serving.cancel()
        endpoint.hang_up()

    return end
