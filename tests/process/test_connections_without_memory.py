"""Each malloc of a process that converses over a socket fails once: nobody waits for ever."""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from process_harness import PATIENCE_S

from loadtests.call_faults import CallFaults, build_library
from loadtests.servers import ROOT

LINE = b"hello\n"
HIGHEST = 150  # of some 120 from a connection to its answer
SERVER = """
import asyncio, os, socket, sys
from workers.connections import Connections

class Told:
    def warning(self, event, **fields):
        os.write(1, f"{event} {fields}\\n".encode())

async def echo(stream):
    while line := await stream.read_until(b"\\n", 100):
        await stream.send(line)

async def serve():
    connections = Connections("test", 8, echo, Told())

    def callback_failed(loop, context):
        os.write(1, f"callback failed {context}\\n".encode())
        connections.hang_up()

    asyncio.get_running_loop().set_exception_handler(callback_failed)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    listener.bind(sys.argv[1])
    listener.listen()
    os.write(1, b"up\\n")
    while True:
        connections.listen(listener)
        await asyncio.sleep(0.05)

asyncio.run(serve())
"""


class Echo:
    """A server in a process of its own, whose calls can be made to fail."""

    def __init__(self, folder: Path) -> None:
        self.faults = CallFaults(folder / "orders")
        self.path = folder / "echo.sock"
        environment = {**os.environ, **self.faults.environment(build_library(folder))}
        self.environment = {**environment, "PYTHONMALLOC": "malloc"}
        self.process: subprocess.Popen[bytes] | None = None
        self.spoilt = False  # what listens may be what was not woken

    def ready(self) -> subprocess.Popen[bytes]:
        """The process, a new one in the place of one that ended."""
        if self.process is not None and not self.spoilt and self.answers():
            return self.process
        self.end()
        self.spoilt = False
        self.path.unlink(missing_ok=True)
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVER, str(self.path)],
            cwd=ROOT,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert self.told() == b"up\n"
        return self.process

    def told(self, patience_s: float = PATIENCE_S) -> bytes:
        """What the process says, or the interpreter of its end; nothing after that."""
        assert self.process is not None
        assert self.process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            if not selector.select(patience_s):
                raise TimeoutError
        text = os.read(self.process.stdout.fileno(), 65_536)
        self.spoilt |= b"callback failed" in text
        return text

    def end(self) -> None:
        if self.process is not None and self.process.stdout is not None:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()

    def answers(self) -> bool:
        """Whether it is there; TimeoutError when it is, and says nothing."""
        with self.client() as client:
            return self.say(client, connect=True) == LINE

    def client(self) -> socket.socket:
        client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        client.settimeout(PATIENCE_S)
        return client

    def say(self, client: socket.socket, connect: bool) -> bytes:
        """What comes back of a line; nothing when the connection ends."""
        try:
            if connect:
                client.connect(str(self.path))
            client.sendall(LINE)
            return client.recv(100)
        except ConnectionError:
            return b""

    def fault(self, number: int, connected: bool) -> bool:
        """Have the `number`-th malloc from now on fail; whether a line came back all the same."""
        process = self.ready()
        with self.client() as client:
            if connected:
                assert self.say(client, connect=True) == LINE
            self.faults.order("malloc", number)
            self.faults.mean((process.pid, process.pid))
            came = self.say(client, connect=not connected)
            self.faults.stop()
        assert came in {b"", LINE}
        with contextlib.suppress(TimeoutError):
            self.told(0.0 if came else PATIENCE_S)
            return bool(came)
        assert came, f"the connection ended at malloc {number}, and nobody says why"
        return True


@pytest.fixture
def echo(tmp_path: Path) -> Iterator[Echo]:
    made = Echo(tmp_path)
    yield made
    made.end()


@pytest.mark.parametrize("connected", [False, True])
def test_no_connection_is_lost_without_a_word(echo: Echo, connected: bool) -> None:
    came = [echo.fault(number, connected) for number in range(1, HIGHEST)]
    assert not all(came)
