"""What netlink says comes to a table of addresses; whatever is wrong with it comes to nothing."""

from __future__ import annotations

import ipaddress
import random
import socket
import struct
import subprocess
from collections.abc import Iterator

import pytest

from workers.clusterer import addresses as module
from workers.clusterer.addresses import AddressTable, AddressWatch

VIP = ipaddress.ip_address("192.0.2.10")
VIP6 = ipaddress.ip_address("2001:db8::10")
LO_VIP = ipaddress.ip_address("127.0.64.77")
RUNNING = module.UP_AND_RUNNING


def message(kind: int, body: bytes, sequence: int = 0, flags: int = 0) -> bytes:
    length = 16 + len(body)
    padded = body + bytes(-length % 4)
    return struct.pack("=IHHII", length, kind, flags, sequence, 0) + padded


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def link(interface: int, flags: int = RUNNING, kind: int = module.RTM_NEWLINK) -> bytes:
    return message(kind, struct.pack("=BBHiII", 0, 0, 1, interface, flags, 0))


def address(
    ip: ipaddress.IPv4Address | ipaddress.IPv6Address,
    interface: int = 2,
    kind: int = module.RTM_NEWADDR,
    flags: int = 0,
    attributes: bytes = b"",
) -> bytes:
    family = socket.AF_INET if ip.version == 4 else socket.AF_INET6
    local = attribute(module.IFA_ADDRESS, ip.packed)
    body = struct.pack("=BBBBI", family, 24, flags, 0, interface)
    return message(kind, body + local + attributes)


def completed(*messages: bytes) -> AddressTable:
    """A table after a dump with these in it."""
    table = AddressTable()
    table.begin()
    assert not table.is_complete
    assert table.feed(b"".join(messages) + message(module.NLMSG_DONE, bytes(4), 1))
    table.request()
    assert not table.feed(message(module.NLMSG_DONE, bytes(4), 1))
    assert table.is_complete
    return table


@pytest.mark.parametrize("ip", [VIP, VIP6])
def test_an_address_comes_and_goes(ip: ipaddress.IPv4Address) -> None:
    table = completed(link(2))
    assert not table.has(ip)
    table.feed(address(ip))
    assert table.has(ip)
    table.feed(address(ip, kind=module.RTM_DELADDR))
    assert not table.has(ip)


def test_an_address_counts_while_its_interface_is_up_and_has_a_carrier() -> None:
    table = completed(link(2), address(VIP))
    assert table.has(VIP)
    table.feed(link(2, flags=0x1))
    assert not table.has(VIP)
    table.feed(link(2))
    assert table.has(VIP)
    table.feed(link(2, kind=module.RTM_DELLINK))
    assert not table.has(VIP)
    table.feed(link(2))
    assert not table.has(VIP)


def test_one_interface_is_enough() -> None:
    table = completed(link(2), link(3), address(VIP), address(VIP, 3))
    table.feed(address(VIP, 3, module.RTM_DELADDR))
    assert table.has(VIP)


def test_the_local_address_of_a_point_to_point_link_is_ours() -> None:
    table = completed(link(2))
    peer = ipaddress.ip_address("192.0.2.99")
    table.feed(address(peer, attributes=attribute(module.IFA_LOCAL, VIP.packed)))
    assert table.has(VIP)
    assert not table.has(peer)


def test_an_ipv6_address_counts_once_nobody_else_has_it() -> None:
    table = completed(link(2))
    table.feed(address(VIP6, flags=0x40))
    assert not table.has(VIP6)
    long_flags = attribute(module.IFA_FLAGS, struct.pack("=I", 0x08))
    table.feed(address(VIP6, attributes=long_flags))
    assert not table.has(VIP6)
    table.feed(address(VIP6, attributes=attribute(module.IFA_FLAGS, struct.pack("=I", 0x80))))
    assert table.has(VIP6)


def test_a_dump_that_was_disturbed_is_asked_for_again() -> None:
    table = AddressTable()
    table.begin()
    disturbed = message(module.NLMSG_DONE, bytes(4), 1, module.NLM_F_DUMP_INTR)
    assert not table.feed(disturbed)
    assert table.has_failed
    table.begin()
    assert not table.has_failed
    assert not table.feed(message(module.NLMSG_ERROR, bytes(4), 2))
    assert table.has_failed
    assert not table.is_complete


def test_the_end_of_an_older_dump_is_not_the_end_of_this_one() -> None:
    table = AddressTable()
    table.begin()
    table.begin()
    assert not table.feed(message(module.NLMSG_DONE, bytes(4), 1))
    assert not table.is_complete


def test_whatever_is_not_netlink_changes_nothing() -> None:
    rng = random.Random(1)
    good = link(2) + address(VIP) + address(VIP6)
    for _ in range(5_000):
        table = completed(link(2), address(VIP))
        bad = bytearray(good)
        for _ in range(rng.randint(1, 6)):
            bad[rng.randrange(len(bad))] = rng.randrange(256)
        table.feed(bytes(bad[: rng.randint(0, len(bad))]))
        table.has(VIP)
    for length in (0, 1, 15, 17, 2**31, 2**32 - 1):
        table = completed(link(2), address(VIP))
        table.feed(struct.pack("=IHHII", length, module.RTM_DELLINK, 0, 0, 0))
        assert table.has(VIP)


def ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"needs to change addresses: {done.stderr.strip() or 'ip failed'}")


@pytest.fixture
def watch() -> Iterator[AddressWatch]:
    made = AddressWatch()
    yield made
    made.close()


@pytest.fixture
def on_loopback() -> Iterator[None]:
    ip("address", "add", f"{LO_VIP}/32", "dev", "lo")
    yield
    subprocess.run(["ip", "address", "del", f"{LO_VIP}/32", "dev", "lo"], check=False)


def test_the_kernel_tells(watch: AddressWatch, on_loopback: None) -> None:
    watch.read()
    assert watch.table.is_complete
    assert watch.table.has(ipaddress.ip_address("127.0.0.1"))
    assert watch.table.has(LO_VIP)
    ip("address", "del", f"{LO_VIP}/32", "dev", "lo")
    watch.read()
    assert not watch.table.has(LO_VIP)
    ip("address", "add", f"{LO_VIP}/32", "dev", "lo")
    watch.read()
    assert watch.table.has(LO_VIP)


def test_what_did_not_fit_into_the_socket_is_asked_for(
    watch: AddressWatch, on_loopback: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch.read()
    watch._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    ip("address", "del", f"{LO_VIP}/32", "dev", "lo")
    for _ in range(40):
        ip("address", "add", "127.0.64.78/32", "dev", "lo")
        ip("address", "del", "127.0.64.78/32", "dev", "lo")
    ip("address", "add", f"{LO_VIP}/32", "dev", "lo")
    began = []
    begin = watch.table.begin
    monkeypatch.setattr(watch.table, "begin", lambda: began.append(begin()))
    watch.read()
    assert began
    assert watch.table.is_complete
    assert watch.table.has(LO_VIP)


def test_other_processes_are_not_believed(watch: AddressWatch) -> None:
    watch.read()
    port = watch._socket.getsockname()[0]
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, module.NETLINK_ROUTE) as other:
        other.bind((0, 0))
        try:
            other.sendto(link(1, kind=module.RTM_DELLINK), (port, 0))
        except OSError as error:
            pytest.skip(f"the kernel does not let others send here: {error}")
    watch.read()
    assert watch.table.has(ipaddress.ip_address("127.0.0.1"))
