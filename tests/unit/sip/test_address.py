from __future__ import annotations

import copy
import struct

import pytest

from proxy.sip import address
from proxy.sip.address import Address


def test_ipv4() -> None:
    found = Address.parse(b"192.0.2.1", 5060)
    assert (found.host, found.port, found.hostport) == (b"192.0.2.1", 5060, b"192.0.2.1:5060")
    assert found.sockaddr == struct.pack("=H", 2) + b"\x13\xc4\xc0\x00\x02\x01" + bytes(8)
    assert not found.is_v6
    assert found.rport_received == b"=5060;received=192.0.2.1"


@pytest.mark.parametrize("text", [b"2001:db8::1", b"[2001:db8::1]", b"2001:DB8:0::1"])
def test_ipv6(text: bytes) -> None:
    found = Address.parse(text, 5060)
    assert (found.host, found.hostport) == (b"2001:db8::1", b"[2001:db8::1]:5060")
    assert len(found.sockaddr) == 28
    assert found.is_v6
    assert found is Address.parse(b"2001:db8::1", 5060)


def test_equality_is_that_of_the_sockaddr() -> None:
    one = Address.parse(b"192.0.2.1", 1)
    assert one == Address.from_sockaddr(one.sockaddr)
    assert one != Address.parse(b"192.0.2.1", 2)
    assert one != "192.0.2.1"
    assert len({one, Address.from_sockaddr(one.sockaddr), Address.parse(b"192.0.2.2", 1)}) == 2
    assert copy.copy(one) == one
    assert "192.0.2.1:1" in repr(one)


def test_many_that_are_found_in_the_same_place() -> None:
    hosts = [b"192.0.%d.%d" % (i % 7, i) for i in range(256)] + [
        b"2001:db8::%x" % i for i in range(1, 99)
    ]
    every = [(host, port) for host in hosts for port in (5060, 5061)]
    raws = [Address.parse(host, port).sockaddr for host, port in every]
    for _ in range(2):
        for (host, port), raw in zip(every, raws, strict=True):
            for _ in range(2):
                found = Address.from_sockaddr(raw)
                assert (found.host, found.port) == (host, port)


def test_from_the_kernel() -> None:
    noisy = struct.pack("=H", 2) + b"\x00\x07\x7f\x00\x00\x01" + b"leftover"
    assert Address.from_sockaddr(noisy) == Address.parse(b"127.0.0.1", 7)
    flow = struct.pack("=H", 10) + b"\x00\x07\x00\x00\x00\x09" + bytes(15) + b"\x01" + bytes(4)
    assert Address.from_sockaddr(flow) == Address.parse(b"::1", 7)


def test_mapped_addresses_stay() -> None:
    found = Address.parse(b"::ffff:192.0.2.1", 1)
    assert found.is_v6
    assert found != Address.parse(b"192.0.2.1", 1)


@pytest.mark.parametrize(
    "text",
    [b"", b"h", b"1.2.3", b"1.2.3.4.5", b"1.2.3.256", b"01.2.3.4", b"fe80::1%eth0", b"::1::",
     b"[1.2.3.4", b"1.2.3.4 ", b"\xff", b"1" * 100],
)  # fmt: skip
def test_not_an_address(text: bytes) -> None:
    with pytest.raises(ValueError, match="not an IP address"):
        Address.parse(text, 5060)


def test_bad_ports_and_sockaddrs() -> None:
    for port in (-1, 65536):
        with pytest.raises(ValueError, match="not a port"):
            Address.parse(b"192.0.2.1", port)
    for raw in (
        b"",
        b"\x02",
        bytes(16),
        struct.pack("=H", 2) + bytes(4),
        struct.pack("=H", 10) + bytes(20),
    ):
        with pytest.raises(ValueError, match="sockaddr"):
            Address.from_sockaddr(raw)


def test_unicast() -> None:
    for text in (b"192.0.2.1", b"127.0.0.1", b"::1", b"2001:db8::1"):
        assert Address.parse(text, 1).is_unicast
    for text in (
        b"0.0.0.0",
        b"224.0.1.75",
        b"239.255.255.255",
        b"255.255.255.255",
        b"::",
        b"ff02::1",
    ):
        assert not Address.parse(text, 1).is_unicast


def test_the_cache_is_bounded() -> None:
    for number in range(70_000):
        Address.from_sockaddr(struct.pack("=H", 2) + struct.pack("!HI8x", 1, 0x0A000000 + number))
    assert Address.parse(b"10.0.0.1", 1).host == b"10.0.0.1"
    assert address._INTERNED == 65_536
