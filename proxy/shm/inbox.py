"""A worker's inbox: datagrams that other workers read off their sockets for it.

Many producers append under a robust lock, one consumer takes without. The head moves only when a
message is complete, so a producer that dies leaves nothing; the next consumer goes on at the tail.
"""

from __future__ import annotations

from proxy.errors import LockTimeout, ShmError
from proxy.shm import layout
from proxy.shm.arena import Arena

KIND = b"inbox"
LAYOUT = "lock head | tail sleeping | ring: need listener address_length length 0 received_ns bytes"
FULL = 0
QUEUED = 1
WAKE = 2

_LOCK_AT = layout.HEADER_BYTES
_HEAD_AT = _LOCK_AT + layout.BESIDE_LOCK
_TAIL_AT = _LOCK_AT + layout.LINE
_SLEEPING_AT = _TAIL_AT + 8
_RING_AT = 2 * layout.HEADER_BYTES
_RECORD = 24
_SKIP = 0xFFFFFFFF  # the ring's last bytes are too few for the next message
_EVEN = 0xFFFFFFFE
_FULL = FULL
_QUEUED = QUEUED
_WAKE = WAKE


class Inbox:
    """One ring; positions are byte counts that never wrap, taken modulo its size."""

    def __init__(self, arena: Arena) -> None:
        self.arena = arena
        self.size = arena.size - _RING_AT
        self.damaged = 0
        arena.lock_wait_ns = 500_000

    @staticmethod
    def create(path: str | None = None, size: int = 4 * 1024 * 1024) -> Inbox:
        """An empty ring of `size` bytes, a power of two; without a path it lives in the family."""
        if size < 4096 or size & (size - 1):
            raise ShmError(f"an inbox of {size} bytes is not possible: a power of two from 4096 on")
        total = _RING_AT + size
        arena = Arena.anonymous(total) if path is None else Arena.create(path, total)
        arena.make_lock(_LOCK_AT)
        layout.write(arena, KIND, LAYOUT, (size,))
        return Inbox(arena)

    @staticmethod
    def attach(path: str) -> Inbox:
        """The ring of an existing file, as its owner: the lock is made anew."""
        inbox = Inbox.over(Arena.own(path))
        inbox.arena.make_lock(_LOCK_AT)
        return inbox

    @staticmethod
    def over(arena: Arena) -> Inbox:
        """The ring in a mapping that others use; nothing in it changes."""
        header = layout.read(arena, KIND, LAYOUT)
        if header.geometry[0] + _RING_AT != arena.size:
            raise ShmError(f"{arena.path} has a header that contradicts itself")
        return Inbox(arena)

    @staticmethod
    def join(path: str) -> Inbox:
        """The ring of a file that somebody else made, to push into."""
        return Inbox.over(Arena.join(path))

    def clear(self) -> None:
        """Forget what is in it, while it has no owner."""
        self.arena.put_u64(_TAIL_AT, self.arena.u64(_HEAD_AT))

    def push(self, listener: int, sockaddr: bytes, received_ns: int, data: bytes) -> int:
        """FULL (or busy), QUEUED, or WAKE: queued for an owner who sleeps."""
        need = (_RECORD + len(sockaddr) + len(data) + 7) & ~7
        try:
            if self.arena.lock(_LOCK_AT):
                self.arena.adopt(_LOCK_AT)
        except LockTimeout:
            return _FULL
        try:
            queued = self._append(need, listener, sockaddr, received_ns, data)
        finally:
            self.arena.unlock(_LOCK_AT)
        if not queued:
            return _FULL
        # The owner stores its flag, then reads the head; we stored the head, now read the flag:
        # with both fences in between, at least one of us sees the other.
        self.arena.fence()
        return _WAKE if self.arena.u32(_SLEEPING_AT) & 1 else _QUEUED

    def _append(
        self, need: int, listener: int, sockaddr: bytes, received_ns: int, data: bytes
    ) -> bool:
        head = self.arena.u64(_HEAD_AT)
        left = self.size - (head & (self.size - 1))
        skip = left if left < need else 0
        if need > self.size or head + skip + need - self.arena.u64(_TAIL_AT) > self.size:
            return False
        at = _RING_AT + (head & (self.size - 1))
        if skip:
            self.arena.put_u32(at, _SKIP)
            at = _RING_AT
        length = len(sockaddr)
        self.arena.put_u32(at, need)
        self.arena.put_u16(at + 4, listener)
        self.arena.put_u16(at + 6, length)
        self.arena.put_u32(at + 8, len(data))
        self.arena.put_u64(at + 16, received_ns)
        self.arena.put(at + _RECORD, sockaddr)
        self.arena.put(at + _RECORD + length, data)
        self.arena.put_u64(_HEAD_AT, head + skip + need)  # here the message begins to exist
        return True

    def pop(self, limit: int) -> list[tuple[int, bytes, int, bytes]]:
        """Up to `limit` messages: listener, sockaddr, received_ns, data. The owner's alone."""
        taken: list[tuple[int, bytes, int, bytes]] = []
        head = self.arena.u64(_HEAD_AT)
        tail = self.arena.u64(_TAIL_AT)
        while tail != head and len(taken) < limit:
            left = self.size - (tail & (self.size - 1))
            at = _RING_AT + (tail & (self.size - 1))
            need = self.arena.u32(at)
            if need == _SKIP:
                tail += left
                continue
            address_length = self.arena.u16(at + 6)
            length = self.arena.u32(at + 8)
            if need > left or _RECORD + address_length + length > need or need & 7:
                self.damaged += 1  # only a stray store can do this; give up what is in the ring
                tail = head
                break
            taken.append(
                (
                    self.arena.u16(at + 4),
                    self.arena.copy(at + _RECORD, address_length),
                    self.arena.u64(at + 16),
                    self.arena.copy(at + _RECORD + address_length, length),
                )
            )
            tail += need
        self.arena.put_u64(_TAIL_AT, tail)
        return taken

    def announce_sleep(self) -> bool:
        """Ask producers for a wake-up; False when there is something to pop instead.

        Each sleep has an odd number of its own, and is over with the next.
        """
        number = self.arena.u32(_SLEEPING_AT)
        self.arena.put_u32(_SLEEPING_AT, (number + 1) | 1)
        self.arena.fence()
        if self.arena.u64(_HEAD_AT) == self.arena.u64(_TAIL_AT):
            return True
        self.awake()
        return False

    def awake(self) -> int:
        """No more wake-ups, please."""
        self.arena.put_u32(_SLEEPING_AT, (self.arena.u32(_SLEEPING_AT) + 1) & _EVEN)
        return 0

    def sleep(self) -> int:
        """The number of the sleep that its owner has to be woken from, 0 when there is none."""
        number = self.arena.u32(_SLEEPING_AT)
        return number if number & 1 else 0

    def woken(self, sleep: int) -> None:
        """Its owner has been woken from this sleep: nobody need do it again, should it take long.

        Said after the deed, by whoever may die in between; of a later sleep it says nothing.
        """
        self.arena.swap_u32(_SLEEPING_AT, sleep, sleep + 1)

    @property
    def empty(self) -> bool:
        """Nothing to pop."""
        return self.arena.u64(_HEAD_AT) == self.arena.u64(_TAIL_AT)

    @property
    def used_bytes(self) -> int:
        """How much of the ring is taken."""
        return self.arena.u64(_HEAD_AT) - self.arena.u64(_TAIL_AT)
