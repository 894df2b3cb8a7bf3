"""Socket groups."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from workers import sockets
from workers.setting_types import Endpoint
from workers.sockets import Group, SocketError, open_group


def free_port(host: str = "127.0.0.1") -> int:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def group() -> Iterator[Group]:
    made = open_group(Endpoint("127.0.0.1", free_port()), 3, 262_144, [])
    yield made
    for fd in made.fds:
        os.close(fd)


def test_members_share_the_address(group: Group) -> None:
    for fd in group.fds:
        with socket.socket(fileno=os.dup(fd)) as member:
            assert member.getsockname() == ("127.0.0.1", group.endpoint.port)
            assert not os.get_blocking(fd)
            assert not os.get_inheritable(fd)
            assert member.getsockopt(socket.IPPROTO_IP, sockets.IP_FREEBIND) == 1


def test_datagrams_are_spread(group: Group) -> None:
    for _ in range(60):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.sendto(b"x", ("127.0.0.1", group.endpoint.port))
    counts = []
    for fd in group.fds:
        count = 0
        with socket.socket(fileno=os.dup(fd)) as member:
            while True:
                try:
                    member.recv(10)
                except BlockingIOError:
                    break
                count += 1
        counts.append(count)
    assert sum(counts) == 60
    assert min(counts) > 0


def test_the_buffer_is_what_the_kernel_grants(group: Group) -> None:
    with socket.socket(fileno=os.dup(group.fds[0])) as member:
        granted = member.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    assert group.receive_buffer == granted // 2


def test_an_address_we_do_not_hold_can_be_bound() -> None:
    made = open_group(Endpoint("192.0.2.77", free_port()), 1, 65_536, [])
    os.close(made.fds[0])


def test_ipv6_is_ipv6_only() -> None:
    try:
        port = free_port("::1")
    except OSError:
        pytest.skip("no IPv6 here")
    made = open_group(Endpoint("::1", port), 1, 65_536, [])
    with socket.socket(fileno=made.fds[0]) as member:
        assert member.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 1


def test_a_taken_port_is_a_sentence(group: Group) -> None:
    endpoint = group.endpoint
    with pytest.raises(SocketError, match=rf"^udp {endpoint} is taken: another program"):
        open_group(endpoint, 1, 65_536, [])


def test_another_option_does_not_join_by_mistake() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        with pytest.raises(SocketError, match="is taken"):
            open_group(Endpoint("127.0.0.1", other.getsockname()[1]), 2, 65_536, [])
