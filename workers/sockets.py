"""The sockets: bound once, by the supervisor, as SO_REUSEPORT groups with a member per worker.

They outlive every worker. A worker that is killed leaves its queue in its member of the group, and
the worker that replaces it reads on there. A group grows with the number of workers and never
shrinks, for with a member its queue would go: then a worker reads several.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from proxy.errors import SipherdError
from workers.setting_types import Endpoint

# Not named by Python 3.11's socket module.
SO_RCVBUFFORCE: Final = 33
IP_FREEBIND: Final = 15
IPV6_FREEBIND: Final = 78


class SocketError(SipherdError):
    """An address that cannot be listened on."""


@dataclass(slots=True)
class Group:
    """The sockets of one listener, at least one per worker, and the buffer the kernel granted.

    The first `bound` of them have their address. Who takes a place before somebody reads there
    would have its share of the datagrams wait, so the others get theirs when that begins.
    """

    endpoint: Endpoint
    fds: list[int]
    receive_buffer: int
    bound: int

    def widen(self, count: int) -> None:
        """Have at least `count` sockets."""
        try:
            while len(self.fds) < count:
                self.fds.append(_member(self.endpoint, self.receive_buffer).detach())
        except OSError as error:
            raise SocketError(_sentence(self.endpoint, error)) from None

    def bind(self) -> None:
        """Give all their address."""
        for fd in self.fds[self.bound :]:
            member = socket.socket(fileno=fd)
            try:
                member.bind((self.endpoint.host, self.endpoint.port))
            finally:
                member.detach()
            self.bound += 1

    def narrow(self) -> None:
        """Let go of the sockets without an address."""
        while len(self.fds) > self.bound:
            os.close(self.fds.pop())

    def close(self) -> None:
        """Let go of all."""
        while self.fds:
            os.close(self.fds.pop())


def open_group(endpoint: Endpoint, count: int, receive_buffer: int, kept: list[int]) -> Group:
    """At least `count` sockets of an endpoint; first those that were kept, with their queues."""
    opened: list[socket.socket] = []
    try:
        for fd in kept:
            opened.append(_taken_over(fd, endpoint))
        if not opened:
            _refuse_if_taken(endpoint)
        while len(opened) < count:
            opened.append(_open(endpoint, receive_buffer))
        granted = opened[0].getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2
    except OSError as error:
        for each in opened:
            each.close()
        raise SocketError(_sentence(endpoint, error)) from None
    return Group(endpoint, [each.detach() for each in opened], granted, len(opened))


def adopt_group(endpoint: Endpoint, fds: Sequence[int]) -> Group:
    """The group that another program had opened."""
    granted = 0
    for fd in fds:
        with _taken_over(os.dup(fd), endpoint) as member:
            granted = member.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2
    return Group(endpoint, list(fds), granted, len(fds))


def _taken_over(fd: int, endpoint: Endpoint) -> socket.socket:
    """A socket that was handed down, if it is what its name says."""
    member = socket.socket(fileno=fd)
    wanted = endpoint.host, endpoint.port
    if member.type == socket.SOCK_DGRAM and member.getsockname()[:2] == wanted:
        member.setblocking(False)
        return member
    member.detach()
    raise SocketError(f"descriptor {fd}, which was kept for udp {endpoint}, is something else.")


def kept_name(endpoint: Endpoint) -> str:
    """What a group is called where it is kept: a service manager's names have no colons."""
    return f"udp-{endpoint.host.replace(':', '.')}-{endpoint.port}"


def _refuse_if_taken(endpoint: Endpoint) -> None:
    """Fail where anybody holds the address, even another group that we could join by mistake."""
    with _socket(endpoint) as probe:
        probe.bind((endpoint.host, endpoint.port))


def _open(endpoint: Endpoint, receive_buffer: int) -> socket.socket:
    member = _member(endpoint, receive_buffer)
    try:
        member.bind((endpoint.host, endpoint.port))
    except OSError:
        member.close()
        raise
    return member


def _member(endpoint: Endpoint, receive_buffer: int) -> socket.socket:
    """A socket that may share an address, without one yet."""
    member = _socket(endpoint)
    member.setblocking(False)
    member.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    _ask_for_buffer(member, receive_buffer)
    return member


def _socket(endpoint: Endpoint) -> socket.socket:
    """A socket that may be bound to an address this node does not hold yet."""
    family = socket.AF_INET6 if ":" in endpoint.host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    if family == socket.AF_INET6:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.setsockopt(socket.IPPROTO_IPV6, IPV6_FREEBIND, 1)
    else:
        made.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)
    return made


def _ask_for_buffer(member: socket.socket, size: int) -> None:
    try:
        member.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, size)
    except PermissionError:  # beyond net.core.rmem_max only with CAP_NET_ADMIN
        member.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)


def _sentence(endpoint: Endpoint, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"udp {endpoint} is taken: another program listens there."
    if error.errno == errno.EACCES:
        return f"udp {endpoint} needs a right this user does not have: use a port above 1023."
    return f"udp {endpoint} cannot be listened on: {os.strerror(error.errno or 0)}."
