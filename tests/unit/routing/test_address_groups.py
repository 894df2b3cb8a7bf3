"""Who belongs to which group of addresses."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.routing.address_groups import AddressGroups
from proxy.routing.request import Request
from tests.unit.routing.bench import CALLER, request, world

ROWS: list[list[bytes | None]] = [
    [b"1", b"192.0.2.0", b"24", b"0", b"any", None, b"network"],
    [b"2", b"192.0.2.7", b"32", b"5060", b"udp", None, b"one host, one port"],
    [b"3", b"2001:db8::", b"32", b"0", b"any", None, None],
    [b"4", b"198.51.100.9", None, None, b"TCP", b"", b""],
    [b"5", b"203.0.113.9", b"128", b"0", b"any", b"sip:*@example.com", b"pattern"],
    [b"0", b"10.0.0.0", b"8", b"0", b"any", None, b"any group"],
]
BAD: list[list[bytes | None]] = [
    [b"1", b"gateway.example.com", b"32", b"0", b"any", None, None],
    [b"1", b"192.0.2.1", b"33", b"0", b"any", None, None],
    [b"1", b"192.0.2.1", b"-1", b"0", b"any", None, None],
    [b"1", b"192.0.2.1", b"32", b"65536", b"any", None, None],
    [b"1", b"192.0.2.1", b"32", b"0", b"carrier pigeon", None, None],
    [b"x", b"192.0.2.1", b"32", b"0", b"any", None, None],
    [b"1", None, b"32", b"0", b"any", None, None],
    [b"1", b"\xff", b"32", b"0", b"any", None, None],
]


@pytest.fixture
def groups() -> AddressGroups:
    made = AddressGroups()
    made.replace(ROWS + BAD)
    return made


def info(groups: AddressGroups, *asked: object) -> str | None:
    entry = groups.check(*asked)  # type: ignore[arg-type]
    return None if entry is None else entry.context_info


def test_check_address(groups: AddressGroups) -> None:
    assert groups.bad_rows == len(BAD)
    assert info(groups, 1, "192.0.2.200", 5060, "udp") == "network"
    assert info(groups, 1, "192.0.3.1") is None
    assert info(groups, 2, "192.0.2.7", 5060, "udp") == "one host, one port"
    assert info(groups, 2, "192.0.2.7", 5061, "udp") is None
    assert info(groups, 2, "192.0.2.7", 0, "any") == "one host, one port"
    assert info(groups, 2, "192.0.2.7", 5060, "tcp") is None
    assert info(groups, 0, "192.0.2.7", 5060, "udp") == "one host, one port"  # longest prefix
    assert info(groups, 0, "192.0.2.7", 5062, "udp") == "network"
    assert info(groups, 3, "2001:db8:ffff::1") == ""
    assert info(groups, 3, "2001:db9::1") is None
    assert info(groups, 4, "198.51.100.9", 1, "tcp") == ""
    assert info(groups, 9, "10.1.2.3") == "any group"
    assert info(groups, 1, "::ffff:192.0.2.200") == "network"
    assert info(groups, 1, "no address") is None


def test_patterns(groups: AddressGroups) -> None:
    assert info(groups, 5, "203.0.113.9", 0, "any", "sip:a@example.com") == "pattern"
    assert info(groups, 5, "203.0.113.9", 0, "any", "sip:a@example.org") is None
    assert info(groups, 5, "203.0.113.9") == "pattern"


def test_get_source_group(groups: AddressGroups) -> None:
    assert groups.group_of("192.0.2.7", 5060) == 2
    assert groups.group_of("192.0.2.7", 5062) == 1
    assert groups.group_of("192.0.2.8", 1) == 1
    assert groups.group_of("8.8.8.8", 1) == -1
    assert AddressGroups().group_of("8.8.8.8", 1) == -1


def test_a_new_list_replaces_the_old(groups: AddressGroups) -> None:
    groups.replace(ROWS[:1])
    assert (len(groups.entries), groups.bad_rows) == (1, 0)
    assert groups.group_of("192.0.2.7", 5060) == 1


def test_what_a_policy_asks(tmp_path: Path) -> None:
    here = world(tmp_path)
    asked = Request(here.node, request(), CALLER, 0)
    assert asked.source_group == -1
    assert asked.check_source_address(0) is None
    here.node.addresses.replace([[b"8", CALLER.host, b"32", b"0", b"udp", None, b"trunk"]])
    assert asked.source_group == 8
    entry = asked.check_source_address(8)
    assert entry is not None
    assert entry.context_info == "trunk"
    assert asked.check_source_address(9) is None
