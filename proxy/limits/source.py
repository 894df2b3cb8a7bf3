"""Whom the flood guard counts as one: an IPv4 address, or the /64 of an IPv6 address, as a number.

An IPv6 network is its first 64 bits. An IPv4 address, also one mapped into IPv6, has the marker
0000:ffff before it, which no IPv6 network in use begins with.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Final

V4_MARKER: Final = 0xFFFF << 32
NOWHERE: Final = 1  # ::/64, which would be 0, the mark of an empty place

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def source_of(text: str) -> int:
    """The number of an address, or of a /64 as `source_text` writes it; ValueError otherwise."""
    address = ipaddress.ip_address(text.removesuffix("/64").strip("[]"))
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is None:
            return int(address) >> 64 or NOWHERE
        address = address.ipv4_mapped
    return V4_MARKER | int(address)


def source_text(source: int) -> str:
    """How an operator reads it: "192.0.2.1" or "2001:db8:1:2::/64"."""
    if source >> 32 == 0xFFFF:
        return str(ipaddress.IPv4Address(source & 0xFFFFFFFF))
    prefix = 0 if source == NOWHERE else source << 64
    return f"{ipaddress.IPv6Address(prefix)}/64"


class Trusted:
    """Networks whose members are never banned."""

    def __init__(self, networks: Iterable[Network]) -> None:
        self._ranges = [_range(network) for network in networks]

    def __contains__(self, source: int) -> bool:
        return any(first <= source <= last for first, last in self._ranges)


def _range(network: Network) -> tuple[int, int]:
    """First and last source of a network; one smaller than a /64 stands for its whole /64."""
    first, last = int(network[0]), int(network[-1])
    if isinstance(network, ipaddress.IPv4Network):
        return V4_MARKER | first, V4_MARKER | last
    return first >> 64 or NOWHERE, last >> 64 or NOWHERE
