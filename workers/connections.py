"""Connections that a listening stream socket accepts: bounded in number, and ended by any failure.

asyncio's own servers say nothing of a connection that they have no memory for, and may leave it
open. Here a connection is the socket of one task, which closes it whatever happens.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Coroutine
from typing import Any, Final

from workers.logs import Log

READ_BYTES: Final = 65_536


class TooLong(Exception):
    """What was to end with a mark has none within its limit."""


class Stream:
    """A connection, and what was read of it beyond what was asked for."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self._connection = connection
        self._held = bytearray()
        self._loop = asyncio.get_running_loop()

    async def read_until(self, mark: bytes, limit: int) -> bytes:
        """What comes up to and with `mark`; without it what came before the other side's end."""
        searched = 0
        while (at := self._held.find(mark, searched)) < 0:
            if len(self._held) > limit:
                raise TooLong
            searched = max(0, len(self._held) - len(mark) + 1)
            piece = await self._loop.sock_recv(self._connection, READ_BYTES)
            if not piece:
                return self._take(len(self._held))
            self._held += piece
        if at > limit:
            raise TooLong
        return self._take(at + len(mark))

    def _take(self, size: int) -> bytes:
        taken = bytes(self._held[:size])
        del self._held[:size]
        return taken

    async def send(self, data: bytes) -> None:
        """Send all of `data`, as fast as it is read."""
        await self._loop.sock_sendall(self._connection, data)

    def close(self) -> None:
        """End it."""
        number = self._connection.fileno()
        try:
            if number >= 0:  # whoever gets it next finds nobody waiting for it
                self._loop.remove_reader(number)
                self._loop.remove_writer(number)
        finally:
            self._connection.close()


class Connections:
    """What was accepted and is open: at most so many, each with a task that converses.

    One too many costs the one used longest ago its place: those that say nothing, or do not read
    what they asked for, must not keep everybody else out.
    """

    def __init__(
        self,
        of: str,
        most: int,
        converse: Callable[[Stream], Coroutine[Any, Any, None]],
        log: Log,
    ) -> None:
        self._of = of
        self._most = most
        self._converse = converse
        self._log = log
        self._open: dict[Stream, asyncio.Task[None]] = {}  # the one used longest ago first

    def listen(self, listener: socket.socket) -> None:
        """Accept from now on; where the system refused to, from now on again."""
        asyncio.get_running_loop().add_reader(listener, self._accept, listener)

    def used(self, stream: Stream) -> None:
        """Who has just said something keeps its place longest."""
        if task := self._open.pop(stream, None):
            self._open[stream] = task

    def hang_up(self) -> None:
        """End all of them."""
        ended, self._open = self._open, {}
        for stream, task in ended.items():
            task.cancel()
            stream.close()

    def _accept(self, listener: socket.socket) -> None:
        try:
            connection = accept(listener)
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return  # whoever came has gone
        except (OSError, MemoryError) as error:  # and would be refused at once again
            self._log.warning("connection not accepted", of=self._of, reason=repr(error))
            asyncio.get_running_loop().remove_reader(listener)
            return
        try:
            self._begin(connection)
        except Exception as error:  # noqa: BLE001 - as below
            self._log.warning("connection failed", of=self._of, reason=repr(error))
            connection.close()

    def _begin(self, connection: socket.socket) -> None:
        if len(self._open) >= self._most:
            self._open.pop(next(iter(self._open))).cancel()
        stream = Stream(connection)
        self._open[stream] = asyncio.get_running_loop().create_task(self._attend(stream))

    async def _attend(self, stream: Stream) -> None:
        try:
            await self._converse(stream)
        except (ConnectionError, TimeoutError):
            pass  # the other side has had enough, or we of it
        except Exception as error:  # noqa: BLE001 - whatever it is, it ends this connection only
            self._log.warning("connection failed", of=self._of, reason=repr(error))
        finally:
            self._open.pop(stream, None)
            stream.close()


def accept(listener: socket.socket) -> socket.socket:
    """The next connection; nothing of it stays open when there is no memory for its object.

    For a process without threads: another could take the number meanwhile.
    """
    number = os.dup(listener.fileno())
    os.close(number)  # the lowest that is free, which is the one that accept(2) takes
    try:
        return listener.accept()[0]
    except BaseException:
        with contextlib.suppress(OSError):  # mostly it has not come to that
            os.close(number)
        raise
