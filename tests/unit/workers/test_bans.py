"""The flood guard: what is counted, who is banned, what the operator hears of it."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import pytest

from proxy.limits import counters as ids
from proxy.limits.source import Trusted, source_of
from proxy.shm.flood_guard import FloodGuard
from proxy.shm.slots import ProcessSlots
from proxy.shm.sources import Sources
from proxy.sip.address import Address
from workers.bans import Bans, flood_guard_of
from workers.child import Child
from workers.logs import Log
from workers.settings import Config
from workers.tables import open_tables

pytestmark = pytest.mark.compiled  # the way from a socket address to a source is Cython alone

REQUEST = b"OPTIONS sip:a@b SIP/2.0\r\n\r\n"
RESPONSE = b"SIP/2.0 200 OK\r\n\r\n"


class Gate:
    """A guard that allows five in a second."""

    def __init__(self, log: Log, *trusted: str) -> None:
        self.sources = Sources.create(None, 64, unit=1_000, density=5, seed=7)
        self.counters = ProcessSlots.create(None, 1, ids.COUNT).counters(0)
        self.bans = Bans(
            self.sources, Trusted(map(ipaddress.ip_network, trusted)), 60, self.counters, log
        )
        self.guard = FloodGuard(
            self.sources, self.counters, ids.FLOOD_STOPPED, ids.FLOOD_DISPLACED, self.bans.over
        )
        self.guard.now_ms = 1_000_500

    def passed(self, host: str, count: int, data: bytes = REQUEST) -> int:
        from workers.datagrams import stops

        sockaddr = Address.parse(host.encode(), 5060).sockaddr
        return sum(not stops(self.guard, sockaddr, data) for _ in range(count))


@pytest.fixture
def gate(log: Log) -> Gate:
    return Gate(log)


@pytest.mark.parametrize(
    ("host", "mate", "stranger"),
    [
        ("192.0.2.1", "192.0.2.1", "192.0.2.2"),
        ("2001:db8::1", "2001:db8::ffff", "2001:db8:0:1::1"),
        ("::ffff:192.0.2.1", "192.0.2.1", "::ffff:192.0.2.2"),
        ("::1", "::2", "0:0:0:2::1"),
    ],
)
def test_a_source_is_an_address_or_a_network(
    gate: Gate, host: str, mate: str, stranger: str
) -> None:
    assert gate.passed(host, 10) == 6  # the sixth is too many, the seventh is stopped
    assert gate.passed(mate, 3) == 0
    assert gate.passed(stranger, 3) == 3
    assert [source for source, _ in gate.sources.banned(1_000_500)] == [source_of(host)]
    assert gate.counters.get(ids.FLOOD_STOPPED) == 7
    assert gate.counters.get(ids.FLOOD_BANS) == 1


def test_the_ban_ends(gate: Gate) -> None:
    gate.passed("192.0.2.1", 10)
    gate.guard.now_ms += 59_999
    assert gate.passed("192.0.2.1", 1) == 0
    gate.guard.now_ms += 1
    assert gate.passed("192.0.2.1", 5) == 5


def test_responses_are_not_counted_and_pass(gate: Gate) -> None:
    assert gate.passed("192.0.2.1", 100, RESPONSE) == 100
    assert gate.passed("192.0.2.1", 10, REQUEST) == 6
    assert gate.passed("192.0.2.1", 10, RESPONSE) == 10
    assert gate.passed("192.0.2.1", 10, b"SIP/2.") == 0
    assert gate.passed("192.0.2.2", 10, b"") == 6


def test_trusted_networks_are_never_banned(log: Log) -> None:
    gate = Gate(log, "10.0.0.0/8", "2001:db8::/32")
    for host in ("10.1.2.3", "2001:db8:9::1"):
        assert gate.passed(host, 100) == 100
    assert gate.passed("11.1.2.3", 100) == 6
    assert gate.counters.get(ids.FLOOD_BANS) == 1


def test_one_line_for_each_ban(gate: Gate, lines: list[str]) -> None:
    gate.passed("192.0.2.1", 1_000)
    (line,) = lines
    assert "source banned" in line
    assert "source=192.0.2.1 rate=12 seconds=60" in line


def test_displaced_sources_are_counted(gate: Gate) -> None:
    for number in range(200):
        gate.passed(f"198.51.100.{number}", 1)
    assert gate.counters.get(ids.FLOOD_DISPLACED) > 100


def test_it_is_made_as_configured(config: Config, child: Child, log: Log, tmp_path: Path) -> None:
    from workers.datagrams import stops

    assert flood_guard_of(child) is None
    settings = {"enabled": True, "reqs_density_per_unit": 3, "trusted": ["10.0.0.0/8"]}
    flood = Config.model_validate({"flood": settings}).flood
    child.config = config.model_copy(update={"flood": flood})
    (other := tmp_path / "elsewhere").mkdir()
    elsewhere = config.node.model_copy(update={"runtime_dir": other})
    child.tables = open_tables(child.config.model_copy(update={"node": elsewhere}), log)
    guard = flood_guard_of(child)
    assert guard is not None
    guard.now_ms = 1
    assert sum(stops(guard, Address.parse(b"10.0.0.1", 1).sockaddr, b"") for _ in range(9)) == 0
    assert sum(stops(guard, Address.parse(b"11.0.0.1", 1).sockaddr, b"") for _ in range(9)) == 5
    child.tables.close(clean=True)
