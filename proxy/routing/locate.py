"""RFC 3263 for UDP: from the next hop of a URI to the addresses to try, best first.

`locate` is a generator that never waits: it yields the questions to ask, is sent their answers in
the same order, and returns what it found. Who asks, caches and keeps time is the caller's business.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import NamedTuple, TypeAlias, cast

import cython

from proxy.constants import SIP_PORT
from proxy.errors import LocateError
from proxy.limits.bounds import DNS_NAME_BYTES, DNS_RECORDS, LOCATED_TARGETS
from proxy.routing.dns_cache import Answer, Naptr, Query, Srv
from proxy.sip.address import Address, address_of
from proxy.sip.uri import Uri

UDP_SERVICE = b"SIP+D2U"
LABEL_BYTES = 63
_NAME_BYTES = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789-_.")
_KINDS = {4: "A", 6: "AAAA"}


@cython.freelist(16)
@cython.cclass
class NextHop:
    """Who to send to: a host name or literal without brackets, a port or 0, b"udp" or b""."""

    # Not a named tuple: one is made for every message sent, and those take their time.
    def __init__(self, host: bytes, port: int, transport: bytes) -> None:
        self.host = host
        self.port = port
        self.transport = transport

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, NextHop):
            return NotImplemented
        return (
            self.host == other.host
            and self.port == other.port
            and self.transport == other.transport
        )

    def __hash__(self) -> int:
        return hash((self.host, self.port, self.transport))

    def __repr__(self) -> str:
        return f"<NextHop {self.host!r} {self.port} {self.transport!r}>"


class Located(NamedTuple):
    """Where to send, in the order of trying; when nowhere, why in a few words."""

    targets: tuple[Address, ...]
    failure: str = ""


Uniform: TypeAlias = Callable[[], float]
Search: TypeAlias = Generator[tuple[Query, ...], tuple[Answer, ...], Located]
Places: TypeAlias = Generator[tuple[Query, ...], tuple[Answer, ...], list[Srv]]


class SearchFailed(LocateError):
    """Ends a search: nothing can be found, and the text says why."""


def next_hop(uri: Uri) -> NextHop:
    """The next hop `uri` names (RFC 3263 §4); LocateError when UDP cannot get there."""
    if uri.scheme == b"sips":
        raise LocateError("sips needs TLS, which is not served")
    if uri.scheme != b"sip":
        raise LocateError(f"no way to send to a {uri.scheme.decode('ascii', 'replace')} URI")
    transport = uri.transport
    if transport not in (b"", b"udp"):
        raise LocateError(f"transport {transport.decode('ascii', 'replace')} is not served")
    return NextHop(uri.maddr or uri.host, uri.port, transport)


def literal(host: bytes, port: int) -> Address | None:
    """The address when `host` is one already: no question needed (§4.2).

    None as well for what is not one host's: nobody is to make us speak to a whole network.
    """
    try:
        address = address_of(host, port or SIP_PORT)
    except ValueError:
        return None
    return address if address.is_unicast else None


def locate(hop: NextHop, uniform: Uniform, families: Sequence[int] = (4, 6)) -> Search:
    """Search for `hop`; `uniform` draws from [0, 1), `families` are 4 and 6 in wanted order."""
    address = literal(hop.host, hop.port)
    if address is not None:
        return Located((address,))
    try:
        name = checked_name(hop.host)
        places = yield from _places(name, hop, uniform)
        return (yield from _addresses(places, families))
    except SearchFailed as failure:
        return Located((), str(failure))


def checked_name(host: bytes) -> bytes:
    """`host` as a DNS name can be asked for."""
    name = host.lower().removesuffix(b".")
    if not is_name(name):
        raise SearchFailed("not a host name")
    return name


def is_name(name: bytes) -> bool:
    """Whether lower-case `name` is something to ask the DNS for."""
    if not 0 < len(name) <= DNS_NAME_BYTES or not _NAME_BYTES.issuperset(name):
        return False
    labels = name.split(b".")
    if labels[-1].isdigit():  # an address that literal() refused, or an odd spelling of one
        return False
    return all(0 < len(label) <= LABEL_BYTES for label in labels)


def _places(name: bytes, hop: NextHop, uniform: Uniform) -> Places:
    """Names and ports to try, in order: §4.1 for the transport, §4.2 for the port."""
    if hop.port:
        return [Srv(0, 0, hop.port, name)]
    service = b"_sip._udp." + name
    if not hop.transport:
        (answer,) = yield (Query(name, "NAPTR"),)
        # A server that cannot answer NAPTR often answers SRV well: only what it says counts.
        service = naptr_service(cast("tuple[Naptr, ...]", answer.records)) or service
    (answer,) = yield (Query(service, "SRV"),)
    if answer.failed:
        raise SearchFailed("DNS does not answer")
    records = cast("tuple[Srv, ...]", answer.records)
    if not records:
        return [Srv(0, 0, SIP_PORT, name)]
    offered = [record for record in records if record.port and is_name(record.target)]
    if not offered:
        raise SearchFailed("the domain offers no SIP over UDP")
    offered.sort(key=_priority)
    return srv_order(offered[:DNS_RECORDS], uniform)


def _priority(record: Srv) -> int:
    return record.priority


def naptr_service(records: Sequence[Naptr]) -> bytes:
    """The SRV name of the best usable NAPTR record, or b"" (§4.1)."""
    usable = [
        record
        for record in records
        if record.service == UDP_SERVICE
        and record.flags == b"S"
        and not record.regexp
        and is_name(record.replacement)
    ]
    return min(usable, key=_naptr_rank).replacement if usable else b""


def _naptr_rank(record: Naptr) -> tuple[int, int]:
    return record.order, record.preference


def srv_order(records: Sequence[Srv], uniform: Uniform) -> list[Srv]:
    """RFC 2782: by priority, and within one by repeated weighted draws."""
    ordered: list[Srv] = []
    for priority in sorted({record.priority for record in records}):
        # Weight 0 first, so that it has its very small chance.
        waiting = sorted((r for r in records if r.priority == priority), key=_weight)
        while waiting:
            ordered.append(waiting.pop(_draw(waiting, uniform)))
    return ordered


def _weight(record: Srv) -> int:
    return record.weight


def _draw(waiting: list[Srv], uniform: Uniform) -> int:
    total = sum(record.weight for record in waiting)
    mark = int(uniform() * (total + 1))
    running = 0
    for index, record in enumerate(waiting):
        running += record.weight
        if running >= mark:
            return index
    return len(waiting) - 1


def _addresses(places: list[Srv], families: Sequence[int]) -> Search:
    """Resolve every place; a target that fails is one way less, not a failure."""
    queries = tuple(Query(place.target, _KINDS[family]) for place in places for family in families)
    answers = yield queries
    targets: list[Address] = []
    failed = False
    for index, answer in enumerate(answers):
        failed = failed or answer.failed
        for text in cast("tuple[bytes, ...]", answer.records[:DNS_RECORDS]):
            address = literal(text, places[index // len(families)].port)
            if address is not None and address not in targets:
                targets.append(address)
    if targets:
        return Located(tuple(targets[:LOCATED_TARGETS]))
    return Located((), "DNS does not answer" if failed else "no such host")
