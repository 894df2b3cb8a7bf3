"""Groups of addresses: the `address` table and OpenSIPS' permissions functions over it.

An entry is found by longest prefix, so that one host may be taken out of a group's network. What
OpenSIPS leaves to the order of rows is decided here: the longer prefix first, then the row that
came first.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from ipaddress import IPv4Address, ip_address
from typing import NamedTuple

ANY_GROUP = 0
ANY_PORT = 0
ANY_PROTO = "any"
_PROTOCOLS = frozenset({"any", "udp", "tcp", "tls", "sctp", "ws", "wss"})


class Entry(NamedTuple):
    """One row of `address`."""

    group: int
    ip: str
    mask: int
    port: int
    proto: str
    pattern: str
    context_info: str


class AddressGroups:
    """All entries, by prefix."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.bad_rows = 0
        # (version, prefix length) -> network number -> entries; longest prefixes first
        self._prefixes: list[tuple[int, int, dict[int, list[Entry]]]] = []

    def replace(self, rows: Sequence[Sequence[bytes | None]]) -> None:
        """Rows of grp, ip, mask, port, proto, pattern, context_info; unusable ones are counted."""
        prefixes: dict[tuple[int, int], dict[int, list[Entry]]] = {}
        entries: list[Entry] = []
        bad = 0
        for row in rows:
            try:
                entry, version, number = _entry(row)
            except ValueError:
                bad += 1
                continue
            entries.append(entry)
            networks = prefixes.setdefault((entry.mask, version), {})
            networks.setdefault(number, []).append(entry)
        self.entries, self.bad_rows = entries, bad
        self._prefixes = [
            (version, mask, networks)
            for (mask, version), networks in sorted(prefixes.items(), reverse=True)
        ]

    def check(
        self, group: int, ip: str, port: int = ANY_PORT, proto: str = ANY_PROTO, pattern: str = ""
    ) -> Entry | None:
        """The entry of a group that an address is in; 0 stands for any group and any port."""
        for entry in self._matching(ip):
            if (
                (group in (ANY_GROUP, entry.group) or entry.group == ANY_GROUP)
                and (port == ANY_PORT or entry.port in (ANY_PORT, port))
                and (proto == ANY_PROTO or entry.proto in (ANY_PROTO, proto))
                and (not entry.pattern or not pattern or fnmatchcase(pattern, entry.pattern))
            ):
                return entry
        return None

    def group_of(self, ip: str, port: int) -> int:
        """The group of the entry with the longest prefix; -1 when there is none."""
        for entry in self._matching(ip):
            if entry.port in (ANY_PORT, port):
                return entry.group
        return -1

    def _matching(self, ip: str) -> list[Entry]:
        if not self._prefixes:
            return []
        try:
            version, number, bits = _number(ip)
        except ValueError:
            return []
        found: list[Entry] = []
        for other, mask, networks in self._prefixes:
            if other == version:
                found += networks.get(number >> (bits - mask), ())
        return found


def _number(text: str) -> tuple[int, int, int]:
    """Version, number and bits of an address; one that is IPv4 in IPv6 counts as IPv4."""
    address = ip_address(text)
    if not isinstance(address, IPv4Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.version, int(address), address.max_prefixlen


def _entry(row: Sequence[bytes | None]) -> tuple[Entry, int, int]:
    """An entry, the version of its network, and the network's number without the host bits."""
    texts = [(value or b"").decode().strip() for value in row]
    version, number, bits = _number(texts[1])
    mask = int(texts[2] or bits)
    if bits == 32 and mask == 128:
        mask = 32
    group, port, proto = int(texts[0] or 0), int(texts[3] or 0), texts[4].lower() or ANY_PROTO
    if not 0 <= mask <= bits or not 0 <= port <= 65_535 or proto not in _PROTOCOLS or group < 0:
        raise ValueError("an address row that is out of range")
    entry = Entry(group, texts[1], mask, port, proto, texts[5], texts[6])
    return entry, version, number >> (bits - mask)
