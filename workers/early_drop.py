"""REGISTERs that nobody has time to refuse are dropped by the kernel, before they cost a turn.

To read a datagram and throw it away costs a quarter of what it takes to serve it, so a worker that
is offered twice what it can do would spend a third of its time on that. A socket filter (classic
BPF, which needs no privilege) draws from the same bytes as the shedder does, and drops the very
same requests. Only REGISTER: it is in no dialog, and can be told by its first bytes.
"""

from __future__ import annotations

import errno
import socket
import struct
from array import array
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from proxy.limits.counters import SHED_UNREAD
from proxy.limits.overload import DRAWN_BYTES, FACTOR, REFRESH, Shedder
from proxy.shm.slots import Counters

if TYPE_CHECKING:
    from workers.datagrams import DatagramSocket

# Not named by Python 3.11's socket module.
SO_ATTACH_FILTER: Final = 26
SO_DETACH_FILTER: Final = 27
# Instructions of linux/filter.h: one accumulator, one index register.
LOAD_LENGTH: Final = 0x80
LOAD: Final = 0x20  # four bytes of the packet
MULTIPLY: Final = 0x24
SHIFT_RIGHT: Final = 0x74
XOR_INDEX: Final = 0xAC
TO_INDEX: Final = 0x07
SET_INDEX: Final = 0x01
JUMP_IF_EQUAL: Final = 0x15
JUMP_IF_AT_LEAST: Final = 0x35
RETURN: Final = 0x06
WHOLE: Final = 0xFFFFFFFF
PAYLOAD: Final = 8  # behind the UDP header
WORDS: Final = tuple(int.from_bytes(word, "big") for word in (b"REGI", b"STER"))
INTERVAL_S: Final = 0.1
WORTH_IT: Final = 1_024  # of 65,536: for less the filter costs more than it saves

Instruction = tuple[int, int, int, int]  # code, jump if true, jump if false, operand


def program(salt: int, below: int) -> list[Instruction]:
    """A filter that drops REGISTERs which draw less than `below`, and nothing else.

    A short one is let through: it draws from fewer bytes.
    """
    accept = (RETURN, 0, 0, WHOLE)
    code: list[Instruction] = [
        (LOAD_LENGTH, 0, 0, 0),
        (JUMP_IF_AT_LEAST, 1, 0, PAYLOAD + DRAWN_BYTES),
        accept,
    ]
    for place, word in enumerate(WORDS):
        code += [(LOAD, 0, 0, PAYLOAD + 4 * place), (JUMP_IF_EQUAL, 1, 0, word), accept]
    code.append((SET_INDEX, 0, 0, salt))
    for at in range(PAYLOAD, PAYLOAD + DRAWN_BYTES, 4):
        code += [
            (LOAD, 0, 0, at),
            (XOR_INDEX, 0, 0, 0),
            (MULTIPLY, 0, 0, FACTOR),
            (TO_INDEX, 0, 0, 0),
            (SHIFT_RIGHT, 0, 0, 15),
            (XOR_INDEX, 0, 0, 0),
            (TO_INDEX, 0, 0, 0),
        ]
    code += [(SHIFT_RIGHT, 0, 0, 16), (JUMP_IF_AT_LEAST, 0, 1, below), accept, (RETURN, 0, 0, 0)]
    return code


def attach(fd: int, code: Sequence[Instruction]) -> None:
    """Give a socket this filter instead of the one it has."""
    packed = array("B", b"".join(struct.pack("HBBI", *each) for each in code))
    address, _ = packed.buffer_info()
    _set_option(fd, SO_ATTACH_FILTER, struct.pack("HP", len(code), address))


def detach(fd: int) -> None:
    """Let a socket have everything that comes."""
    try:
        _set_option(fd, SO_DETACH_FILTER, 0)
    except OSError as error:
        if error.errno != errno.ENOENT:  # there is none
            raise


def _set_option(fd: int, option: int, value: int | bytes) -> None:
    same = socket.socket(fileno=fd)
    try:
        same.setsockopt(socket.SOL_SOCKET, option, value)
    finally:
        same.detach()


class EarlyDrop:
    """The filters of the sockets that a worker reads, as its shedder wants them.

    One that has handed its sockets over has no more say: whoever reads them sees to their filters.
    """

    def __init__(
        self,
        shedder: Shedder,
        reading: Callable[[], Sequence[DatagramSocket]],
        counters: Counters,
    ) -> None:
        self._shedder = shedder
        self._counters = counters
        self._reading = reading
        self._looked_at = 0.0
        self._below = 0  # of the filters in place
        self._drops = 0
        self.calm()

    def follow(self, now: float) -> None:
        """Under pressure: bring the filters up to date, and count what they have dropped."""
        if now < self._looked_at + INTERVAL_S:
            return
        self._looked_at = now
        self._count()
        shedder = self._shedder
        below = int(shedder.threshold(REFRESH) * shedder.silent)
        if below < WORTH_IT:
            self.calm()
        elif abs(below - self._below) >= WORTH_IT:
            self._put(below)

    def calm(self) -> None:
        """No filters, also none that somebody left who used these sockets before."""
        self._count()
        self._below = 0
        for each in self._reading():
            detach(each.fd)

    def _put(self, below: int) -> None:
        if not self._below:
            self._drops = self._dropped()
        self._below = below
        code = program(self._shedder.salt, below)
        for each in self._reading():
            attach(each.fd, code)

    def _count(self) -> None:
        if self._below:
            before, self._drops = self._drops, self._dropped()
            unread = max(self._drops - before, 0)  # it may read fewer sockets than before
            self._shedder.unread(unread)
            self._counters.add(SHED_UNREAD, unread)

    def _dropped(self) -> int:
        return sum(each.drops() for each in self._reading())
