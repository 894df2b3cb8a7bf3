"""Connections of a stream socket: whatever fails, the other side is told, and so is the log."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from proxy.errors import SipherdError
from workers.child import Child
from workers.connections import Connections, Stream, TooLong, accept
from workers.control import ControlEndpoint
from workers.control_client import ask
from workers.logs import Log
from workers.tables import CONTROL_SOCKET

LIMIT = 100
MOST = 3


async def echo(stream: Stream) -> None:
    """Say again what was said; a line of its own asks for what goes wrong."""
    while (line := await stream.read_until(b"\n", LIMIT)).endswith(b"\n"):
        if line == b"fail\n":
            raise MemoryError
        await stream.send(line)


class Door:
    """A listening socket and what it accepts."""

    def __init__(self, folder: Path, log: Log, name: str = "door.sock") -> None:
        self.path = str(folder / name)
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self.listener.bind(self.path)
        self.listener.listen()
        self.connections = Connections("door", MOST, echo, log)
        self.clients: list[socket.socket] = []

    def client(self) -> socket.socket:
        client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.clients.append(client)
        client.connect(self.path)
        client.setblocking(False)
        return client

    def open(self, scenario: Callable[[], Awaitable[None]]) -> None:
        """Accept while `scenario` goes on."""

        async def play() -> None:
            self.connections.listen(self.listener)
            async with asyncio.timeout(10.0):
                await scenario()

        asyncio.run(play())


@pytest.fixture
def door(tmp_path: Path, log: Log) -> Iterator[Door]:
    made = Door(tmp_path, log)
    yield made
    for each in (made.listener, *made.clients):
        each.close()


async def said(client: socket.socket, line: bytes) -> bytes:
    """What is answered to `line`; nothing when the connection is ended."""
    loop = asyncio.get_running_loop()
    try:
        await loop.sock_sendall(client, line)
        return await loop.sock_recv(client, 1_000)
    except (BrokenPipeError, ConnectionResetError):  # before all was read
        return b""


def test_a_conversation_that_fails_is_ended_and_logged(door: Door, lines: list[str]) -> None:
    async def scenario() -> None:
        client, other = door.client(), door.client()
        assert await said(other, b"hello\n") == b"hello\n"
        assert await said(client, b"fail\n") == b""
        assert await said(other, b"still here\n") == b"still here\n"

    door.open(scenario)
    (line,) = lines
    assert "warning" in line
    assert "connection failed of=door reason=MemoryError()" in line


def test_a_connection_without_a_task_is_ended_and_logged(door: Door, lines: list[str]) -> None:
    def no_memory(loop: Any, coroutine: Any, **more: Any) -> Any:
        coroutine.close()
        raise MemoryError

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        loop.set_task_factory(no_memory)
        assert await said(door.client(), b"hello\n") == b""
        loop.set_task_factory(None)
        assert await said(door.client(), b"hello\n") == b"hello\n"

    door.open(scenario)
    assert len(lines) == 1
    assert "connection failed of=door reason=MemoryError()" in lines[0]


class Forgetful(socket.socket):
    """Accepts, and then has no memory for it: what is left is a number that nobody knows."""

    def accept(self) -> Any:
        super().accept()[0].detach()
        raise MemoryError


def test_nothing_that_was_accepted_without_memory_stays_open(door: Door) -> None:
    client = door.client()
    before = os.listdir("/proc/self/fd")
    with Forgetful(fileno=os.dup(door.listener.fileno())) as listener, pytest.raises(MemoryError):
        accept(listener)
    client.setblocking(True)
    client.settimeout(10.0)
    assert len(os.listdir("/proc/self/fd")) == len(before)
    assert client.recv(1) == b""


def test_no_descriptor_is_a_pause_and_a_line(door: Door, lines: list[str]) -> None:
    async def scenario() -> None:
        client = door.client()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        free = os.dup(0)
        os.close(free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
        try:
            for _ in range(100):
                await asyncio.sleep(0)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        door.connections.listen(door.listener)
        assert await said(client, b"hello\n") == b"hello\n"

    door.open(scenario)
    (line,) = lines  # no more of them: it did not try again at once
    assert "connection not accepted of=door" in line
    assert "Too many open files" in line


def test_one_too_many_costs_the_one_used_longest_ago_its_place(door: Door) -> None:
    async def scenario() -> None:
        first, second = door.client(), door.client()
        for client in (first, second, first):
            assert await said(client, b"hello\n") == b"hello\n"
        for _ in range(MOST - 1):
            assert await said(door.client(), b"hello\n") == b"hello\n"
        assert await asyncio.get_running_loop().sock_recv(first, 1) == b""
        assert await said(second, b"hello\n") == b"hello\n"

    door.open(scenario)


def test_all_of_them_can_be_ended(door: Door, lines: list[str]) -> None:
    async def scenario() -> None:
        clients = [door.client() for _ in range(MOST)]
        for client in clients:
            assert await said(client, b"hello\n") == b"hello\n"
        door.connections.hang_up()
        for client in clients:
            assert await asyncio.get_running_loop().sock_recv(client, 1) == b""
        assert await said(door.client(), b"hello\n") == b"hello\n"

    door.open(scenario)
    assert lines == []


def test_whom_a_failed_callback_left_waiting_is_not_left_open(
    door: Door, child: Child, lines: list[str]
) -> None:
    endpoint = ControlEndpoint(child)
    door.connections = endpoint.connections

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(endpoint.callback_failed)
        client = door.client()
        assert b"Parse error" in await said(client, b"hello\n")
        loop.call_soon(lambda: 1 / 0)
        assert await loop.sock_recv(client, 1) == b""
        assert b"Parse error" in await said(door.client(), b"hello\n")

    door.open(scenario)
    assert any("callback failed reason=" in line for line in lines)
    assert any("request unreadable reason=" in line for line in lines)


@pytest.mark.parametrize("answer", [b"", b'{"jsonrpc"'])
def test_who_asks_is_told_that_there_is_no_whole_answer(
    tmp_path: Path, log: Log, answer: bytes
) -> None:
    async def cut(stream: Stream) -> None:
        await stream.read_until(b"\n", LIMIT)
        await stream.send(answer)

    async def scenario() -> None:
        with pytest.raises(SipherdError, match="ended the connection without a whole answer"):
            await asyncio.to_thread(ask, tmp_path, "uptime", {})

    door = Door(tmp_path, log, CONTROL_SOCKET)
    door.connections = Connections("door", MOST, cut, log)
    door.open(scenario)
    door.listener.close()


def test_what_is_read_ends_with_its_mark_or_the_connection() -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        here, there = socket.socketpair()
        stream = Stream(here)
        there.sendall(b"a\r\n\r")
        reading = loop.create_task(stream.read_until(b"\r\n\r\n", LIMIT))
        await asyncio.sleep(0)
        there.sendall(b"\nb\nrest")
        assert await reading == b"a\r\n\r\n"
        assert await stream.read_until(b"\n", LIMIT) == b"b\n"
        there.shutdown(socket.SHUT_WR)
        assert await stream.read_until(b"\n", LIMIT) == b"rest"
        assert await stream.read_until(b"\n", LIMIT) == b""
        stream.close()
        stream.close()
        there.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("text", [b"x" * (LIMIT + 1), b"x" * (LIMIT + 1) + b"\n"])
def test_what_is_too_long_is_not_waited_for(text: bytes) -> None:
    async def scenario() -> None:
        here, there = socket.socketpair()
        stream = Stream(here)
        there.sendall(text)
        with pytest.raises(TooLong):
            await stream.read_until(b"\n", LIMIT)
        stream.close()
        there.close()

    asyncio.run(scenario())
