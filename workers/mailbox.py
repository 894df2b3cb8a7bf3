"""A ring in shared memory in which processes leave messages for one of them, and what wakes it."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass

from proxy.constants import INTERNAL_LISTENER
from proxy.shm.arena import Arena
from proxy.shm.inbox import FULL, WAKE, Inbox


@dataclass(frozen=True, slots=True)
class Mailbox:
    """The ring, and the eventfd that wakes whoever empties it."""

    inbox: Inbox
    eventfd: int

    @classmethod
    def open(cls, size: int) -> Mailbox:
        """An empty one for this family of processes; `size` is a power of two."""
        return cls(Inbox.create(None, size), os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC))

    @classmethod
    def over(cls, fds: tuple[int, ...], name: str) -> Mailbox:
        """The one that another program had, by the descriptors of its ring and its eventfd."""
        ring, eventfd = fds
        return cls(Inbox.over(Arena.inherit(ring, name)), eventfd)

    @property
    def fds(self) -> tuple[int, int]:
        """What another program needs to go on with it."""
        return self.inbox.arena.descriptor, self.eventfd

    def put(self, data: bytes) -> bool:
        """Leave a message; False when there is no room."""
        outcome = self.inbox.push(INTERNAL_LISTENER, b"", 0, data)
        if outcome == WAKE:
            with suppress(BlockingIOError):
                os.eventfd_write(self.eventfd, 1)
        return outcome != FULL

    def take(self, limit: int) -> list[bytes]:
        """Up to `limit` messages; the owner's alone."""
        with suppress(BlockingIOError):
            os.eventfd_read(self.eventfd)
        self.inbox.awake()
        return [data for _, _, _, data in self.inbox.pop(limit)]

    def may_sleep(self) -> bool:
        """Say that the owner will wait for the eventfd; False when there is more to take."""
        return self.inbox.announce_sleep()
