"""The control process: JSON-RPC 2.0 over a unix stream socket, one JSON text per line.

It shares nothing with the packet path but the tables: a slow or hostile operator's script can at
most keep this process busy.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from pathlib import Path
from typing import Any, Final

import orjson

from proxy.errors import SipherdError, TableFull
from proxy.limits import counters
from workers.child import Child
from workers.commands import Commands
from workers.commands.command import CommandError
from workers.connections import Connections, Stream, TooLong
from workers.tables import CONTROL_SOCKET

LINE_BYTES: Final = 1 << 20
CONNECTIONS: Final = 64
BACKLOG: Final = 100
BATCH: Final = 100  # requests in one line
ANSWER_BYTES: Final = 64 << 20  # of a batch, before it is given up
IDLE_S: Final = 300.0
BEAT_S: Final = 0.5
PARSE_ERROR: Final = -32_700
INVALID_REQUEST: Final = -32_600
INTERNAL_ERROR: Final = -32_603
SERVER_ERROR: Final = 500


def run(child: Child) -> int:
    """Serve until asked to stop."""
    asyncio.run(_serve(child))
    return 0


async def _serve(child: Child) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    endpoint = ControlEndpoint(child)
    loop.set_exception_handler(endpoint.callback_failed)
    loop.add_reader(child.stop_fd, stop.set)
    loop.add_reader(child.parent_fd, stop.set)
    listener = _listen(child.config.node.runtime_dir)
    serving = _serve_metrics(child)
    child.log.debug("control is up")
    while not stop.is_set():
        child.beat()
        endpoint.connections.listen(listener)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), BEAT_S)
        if serving is not None and serving.done():
            serving.result()  # raises: whoever replaces this process serves them again


def _serve_metrics(child: Child) -> asyncio.Task[None] | None:
    """Begin to answer scrapers, if there are to be any."""
    address = child.config.metrics.listen
    if address is None:
        return None
    # prometheus-client: only here, and only where it is used
    from workers.metrics_endpoint import MetricsEndpoint

    return asyncio.get_running_loop().create_task(MetricsEndpoint(child).serve(address))


def _listen(folder: Path) -> socket.socket:
    """The listening socket; bound by way of /proc, as paths of sockets are short by law."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    directory = -1
    try:
        directory = os.open(folder, os.O_PATH | os.O_DIRECTORY)
        folder.joinpath(CONTROL_SOCKET).unlink(missing_ok=True)
        before = os.umask(0o117)
        try:
            listener.bind(f"/proc/self/fd/{directory}/{CONTROL_SOCKET}")
        finally:
            os.umask(before)
        listener.listen(BACKLOG)
    except OSError as error:
        raise SipherdError(f"{folder / CONTROL_SOCKET}: {error.strerror}.") from None
    finally:
        if directory >= 0:
            os.close(directory)
    return listener


class ControlEndpoint:
    """Answers requests on any number of connections."""

    def __init__(self, child: Child) -> None:
        self._log = child.log
        self._counters = child.tables.slots.counters(child.slot)
        self._commands = Commands(child)
        self.connections = Connections(CONTROL_SOCKET, CONNECTIONS, self.converse, child.log)

    def callback_failed(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """End all connections: whom a callback should have woken would wait for ever."""
        self._log.callback_failed(loop, context)
        self.connections.hang_up()

    async def converse(self, stream: Stream) -> None:
        """Answer line by line until the other side has had enough."""
        line = b"\n"
        while line.endswith(b"\n"):  # a last line without its end is answered as well
            await asyncio.sleep(0)  # whoever says much at a time leaves others their turn
            try:
                async with asyncio.timeout(IDLE_S):
                    line = await stream.read_until(b"\n", LINE_BYTES)
            except TooLong:
                await stream.send(_line(_error(None, INVALID_REQUEST, "Request too long")))
                return
            self.connections.used(stream)
            if answer := self.answer(line):
                async with asyncio.timeout(IDLE_S):
                    await stream.send(answer)

    def answer(self, line: bytes) -> bytes:
        """The answer to one line; empty for a notification or an empty line."""
        if not line.strip():
            return b""
        try:
            request = orjson.loads(line)
        except orjson.JSONDecodeError as error:  # or no memory for it
            self._log.warning("request unreadable", reason=str(error))
            return _line(_error(None, PARSE_ERROR, "Parse error"))
        if not isinstance(request, list):
            return self._answer_one(request)
        if not request:
            return _line(_error(None, INVALID_REQUEST, "Invalid Request"))
        if len(request) > BATCH:
            return _line(_error(None, INVALID_REQUEST, f"More than {BATCH} requests at once"))
        answers: list[bytes] = []
        size = 0
        for each in request:
            if size > ANSWER_BYTES:
                return _line(_error(None, SERVER_ERROR, "Answer too long: ask one by one"))
            if given := self._answer_one(each):
                answers.append(given.rstrip())
                size += len(given)
        return b"[" + b",".join(answers) + b"]\n" if answers else b""

    def _answer_one(self, request: Any) -> bytes:
        if not _is_request(request):
            return _line(_error(None, INVALID_REQUEST, "Invalid Request"))
        number = request.get("id")
        try:
            result = self._commands.call(request["method"], request.get("params", {}))
            answer = _line({"jsonrpc": "2.0", "result": result, "id": number})
        except CommandError as error:
            answer = _line(_error(number, error.code, str(error)))
        except SipherdError as error:
            if isinstance(error, TableFull):
                self._counters.add(counters.TABLE_FULL)
            answer = _line(_error(number, SERVER_ERROR, str(error)))
        except Exception as error:  # noqa: BLE001 - a command's fault is its caller's answer
            self._log.error("command failed", method=request["method"], error=repr(error))
            answer = _line(_error(number, INTERNAL_ERROR, f"Internal error: {error!r}"))
        return answer if "id" in request else b""


def _is_request(request: Any) -> bool:
    return (
        isinstance(request, dict)
        and request.get("jsonrpc") == "2.0"
        and isinstance(request.get("method"), str)
        and isinstance(request.get("params", {}), dict | list)
        and isinstance(request.get("id"), str | int | float | None)
    )


def _error(number: Any, code: int, text: str) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "error": {"code": code, "message": text}, "id": number}


def _line(answer: Any) -> bytes:
    return orjson.dumps(answer, option=orjson.OPT_APPEND_NEWLINE)
