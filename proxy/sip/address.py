"""An IP address and port as the kernel, a header and a log line each want it."""

from __future__ import annotations

import struct
from ipaddress import AddressValueError, IPv4Address, IPv6Address

import cython

_FAMILY_V4 = 2  # Linux AF_INET, AF_INET6
_FAMILY_V6 = 10
_INTERNED = 65_536  # addresses kept; the whole cache is dropped when full, so no flood can grow it

_by_text: dict[tuple[bytes, int], Address] = {}
_by_sockaddr: dict[bytes, Address] = {}
_recent: list[Address | None] = [None] * 256  # of those, found without a hash of the bytes


@cython.no_gc
@cython.cclass
class Address:
    """An immutable value: host text, port, the raw sockaddr and `host:port`."""

    __slots__ = ("host", "hostport", "is_unicast", "is_v6", "port", "rport_received", "sockaddr")

    host: bytes
    port: int
    sockaddr: bytes
    hostport: bytes
    is_v6: bool
    is_unicast: bool
    rport_received: bytes

    @staticmethod
    def parse(host: bytes, port: int) -> Address:
        """The address of a literal, brackets optional; ValueError for anything else."""
        return address_of(host, port)

    @staticmethod
    def from_sockaddr(raw: bytes) -> Address:
        """The address in a Linux sockaddr_in or sockaddr_in6; ValueError for anything else."""
        return address_from(raw)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Address) and self.sockaddr == other.sockaddr

    def __hash__(self) -> int:
        return hash(self.sockaddr)

    def __repr__(self) -> str:
        return f"Address({self.hostport.decode('ascii')})"

    def __reduce__(self) -> tuple[object, tuple[bytes]]:
        return address_from, (self.sockaddr,)


def address_of(host: bytes, port: int) -> Address:
    """As `Address.parse`."""
    found = _by_text.get((host, port))
    if found is not None:
        return found
    if not 0 <= port <= 65535:
        raise ValueError(f"{port} is not a port")
    text = host[1:-1] if host[:1] == b"[" and host[-1:] == b"]" else host
    # A zone means nothing outside the host that wrote it (RFC 4007 §6).
    if b"%" in text or len(text) > 45:
        raise ValueError(f"{host!r} is not an IP address")
    text = text.replace(b":::", b"::")  # RFC 5118 §4.10
    try:
        raw = _sockaddr(text.decode("ascii"), port)
    except (AddressValueError, UnicodeDecodeError) as error:
        raise ValueError(f"{host!r} is not an IP address") from error
    found = address_from(raw)
    if len(_by_text) >= _INTERNED:
        _by_text.clear()
    _by_text[(host, port)] = found
    return found


def address_from(raw: bytes) -> Address:
    """As `Address.from_sockaddr`."""
    p = raw
    size = len(raw)
    if size < 16:
        return _build(raw)  # which says what is wrong with it
    # the port, and the end of an IPv4 host or (five from the end) of an IPv6 host
    slot = (p[3] + 31 * p[2] + 7 * p[7] + 113 * p[6] + 13 * p[size - 5]) & 255
    found = _recent[slot]
    if found is not None and found.sockaddr == raw:
        return found
    found = _by_sockaddr.get(raw)
    if found is not None:
        _recent[slot] = found
        return found
    found = _build(raw)
    if len(_by_sockaddr) >= _INTERNED:
        _by_sockaddr.clear()
    _by_sockaddr[raw] = _recent[slot] = found
    return found


def _sockaddr(text: str, port: int) -> bytes:
    if ":" in text:
        return struct.pack("=H", _FAMILY_V6) + struct.pack(
            "!HI16sI", port, 0, IPv6Address(text).packed, 0
        )
    return struct.pack("=H", _FAMILY_V4) + struct.pack("!H4s8x", port, IPv4Address(text).packed)


def _build(raw: bytes) -> Address:
    family = struct.unpack_from("=H", raw)[0] if len(raw) >= 2 else 0
    made = Address.__new__(Address)
    if family == _FAMILY_V4 and len(raw) >= 16:
        made.is_v6 = False
        made.host = b"%d.%d.%d.%d" % (raw[4], raw[5], raw[6], raw[7])
        made.sockaddr = raw[:8] + bytes(8)
        made.is_unicast = 0 < raw[4] < 224 or (raw[4] >= 240 and raw[4:8] != b"\xff\xff\xff\xff")
        bracketed = made.host
    elif family == _FAMILY_V6 and len(raw) >= 28:
        made.is_v6 = True
        made.host = IPv6Address(raw[8:24]).compressed.encode("ascii")
        # The flow label is not part of whom it is; the scope of a link-local address is.
        made.sockaddr = raw[:4] + bytes(4) + raw[8:28]
        made.is_unicast = raw[8] != 0xFF and any(raw[8:24])
        bracketed = b"[" + made.host + b"]"
    else:
        raise ValueError("not a sockaddr_in or sockaddr_in6")
    made.port = raw[2] << 8 | raw[3]
    made.hostport = b"%b:%d" % (bracketed, made.port)
    # What completes `;rport` in a Via (RFC 3581 §4; no brackets, RFC 5118 §4.5).
    made.rport_received = b"=%d;received=%b" % (made.port, made.host)
    return made
