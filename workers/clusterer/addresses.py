"""Which addresses this machine has at the moment: the kernel says so over netlink (rtnetlink(7)).

The table is made of a dump and of what is told from then on; whatever may have been missed is
another dump. An address counts while its interface is up and has a carrier.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
import struct
from collections.abc import Iterator
from typing import Final

# linux/netlink.h, linux/rtnetlink.h, linux/if_addr.h, linux/if.h
NETLINK_ROUTE: Final = 0
GROUPS: Final = 0x1 | 0x10 | 0x100  # RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR
NLMSG_ERROR: Final = 2
NLMSG_DONE: Final = 3
NLM_F_REQUEST: Final = 0x1
NLM_F_DUMP_INTR: Final = 0x10
NLM_F_DUMP: Final = 0x300
RTM_NEWLINK: Final = 16
RTM_DELLINK: Final = 17
RTM_GETLINK: Final = 18
RTM_NEWADDR: Final = 20
RTM_DELADDR: Final = 21
RTM_GETADDR: Final = 22
IFA_ADDRESS: Final = 1
IFA_LOCAL: Final = 2
IFA_FLAGS: Final = 8
UNUSABLE: Final = 0x08 | 0x40  # IFA_F_DADFAILED, IFA_F_TENTATIVE
UP_AND_RUNNING: Final = 0x1 | 0x40  # IFF_UP, IFF_RUNNING

_HEADER: Final = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_OF_ADDRESS: Final = struct.Struct("=BBBBI")  # family, prefix, flags, scope, interface
_OF_LINK: Final = struct.Struct("=BBHiII")  # family, -, type, interface, flags, changed
_ATTRIBUTE: Final = struct.Struct("=HH")  # length, type
_DUMPS: Final = (RTM_GETLINK, RTM_GETADDR)
BUFFER: Final = 65_536
MESSAGES: Final = 64  # taken in one turn
BACKLOG: Final = 10_000  # that are thrown away at most before a dump

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class AddressTable:
    """What netlink's messages come to; it knows no socket."""

    def __init__(self) -> None:
        self._links: dict[int, bool] = {}  # interface: is it up and running
        self._addresses: dict[int, set[Address]] = {}
        self._waiting: list[int] = []  # the dumps that are still to come, the one under way first
        self._sequence = 0
        self._interrupted = False
        self.has_failed = False  # the kernel did not want to answer: ask again

    def begin(self) -> None:
        """Forget everything; what request() gives asks for all of it."""
        self._links.clear()
        self._addresses.clear()
        self._waiting = list(_DUMPS)
        self._sequence += 1
        self._interrupted = self.has_failed = False

    @property
    def is_complete(self) -> bool:
        """Whether a dump has come whole; until then nobody can say what is missing."""
        return self._sequence > 0 and not self._waiting

    def request(self) -> bytes:
        """The question that the dump under way answers."""
        body = _OF_LINK.pack(0, 0, 0, 0, 0, 0)
        length = _HEADER.size + len(body)
        flags = NLM_F_REQUEST | NLM_F_DUMP
        return _HEADER.pack(length, self._waiting[0], flags, self._sequence, 0) + body

    def has(self, address: Address) -> bool:
        """Whether an address is usable on this machine."""
        return any(
            address in addresses and self._links.get(interface, False)
            for interface, addresses in self._addresses.items()
        )

    def feed(self, data: bytes) -> bool:
        """One datagram of the kernel; whether request() has to be sent now."""
        asks = False
        at = 0
        while at + _HEADER.size <= len(data):
            length, kind, flags, sequence, _ = _HEADER.unpack_from(data, at)
            if not _HEADER.size <= length <= len(data) - at:
                break
            if self._waiting and sequence == self._sequence:
                self._interrupted |= bool(flags & NLM_F_DUMP_INTR)
                asks |= kind in (NLMSG_DONE, NLMSG_ERROR) and self._next_dump(kind)
            self._take(kind, data[at + _HEADER.size : at + length])
            at += _aligned(length)
        return asks

    def _next_dump(self, kind: int) -> bool:
        """A dump has ended; whether another is to be asked for."""
        if kind == NLMSG_ERROR or self._interrupted:
            self.has_failed = True
            return False
        self._waiting.pop(0)
        return bool(self._waiting)

    def _take(self, kind: int, body: bytes) -> None:
        if kind in (RTM_NEWLINK, RTM_DELLINK) and len(body) >= _OF_LINK.size:
            _, _, _, interface, flags, _ = _OF_LINK.unpack_from(body)
            if kind == RTM_DELLINK:
                self._links.pop(interface, None)
                self._addresses.pop(interface, None)
            else:
                self._links[interface] = flags & UP_AND_RUNNING == UP_AND_RUNNING
        elif kind in (RTM_NEWADDR, RTM_DELADDR) and len(body) >= _OF_ADDRESS.size:
            self._take_address(kind == RTM_NEWADDR, body)

    def _take_address(self, is_new: bool, body: bytes) -> None:
        family, _, flags, _, interface = _OF_ADDRESS.unpack_from(body)
        values = dict(_attributes(body[_OF_ADDRESS.size :]))
        address = _address(family, values.get(IFA_LOCAL) or values.get(IFA_ADDRESS, b""))
        if address is None:
            return
        if len(values.get(IFA_FLAGS, b"")) == 4:
            (flags,) = struct.unpack("=I", values[IFA_FLAGS])
        there = self._addresses.setdefault(interface, set())
        if is_new and not flags & UNUSABLE:
            there.add(address)
        else:
            there.discard(address)


def _aligned(length: int) -> int:
    return (length + 3) & ~3


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if not _ATTRIBUTE.size <= length <= len(data) - at:
            return
        yield kind, data[at + _ATTRIBUTE.size : at + length]
        at += _aligned(length)


def _address(family: int, packed: bytes) -> Address | None:
    if family == socket.AF_INET and len(packed) == 4:
        return ipaddress.IPv4Address(packed)
    if family == socket.AF_INET6 and len(packed) == 16:
        return ipaddress.IPv6Address(packed)
    return None


class AddressWatch:
    """The socket over which the kernel tells; OSError where there is no netlink."""

    def __init__(self) -> None:
        kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        self.table = AddressTable()
        self._socket = socket.socket(socket.AF_NETLINK, kind, NETLINK_ROUTE)
        self._socket.bind((0, GROUPS))
        self._dump()

    @property
    def fd(self) -> int:
        """Readable when there is news."""
        return self._socket.fileno()

    def read(self) -> None:
        """Take in what the kernel has said."""
        if self.table.has_failed:
            self._dump()
        for _ in range(MESSAGES):
            try:
                data, flags, port = self._receive()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.ENOBUFS:  # more was said than the socket could hold
                    raise
                self._dump()
                continue
            if port != 0:  # any process may send here, but only the kernel knows
                continue
            if flags & socket.MSG_TRUNC:
                self._dump()
            elif self.table.feed(data):
                self._socket.send(self.table.request())

    def _receive(self) -> tuple[bytes, int, int]:
        data, _, flags, (port, _) = self._socket.recvmsg(BUFFER)
        return data, flags, port

    def _dump(self) -> None:
        """Ask for everything, without what was said before: of that some is lost."""
        for _ in range(BACKLOG):
            try:
                self._receive()
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
        self.table.begin()
        self._socket.send(self.table.request())

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()
