from __future__ import annotations

import ipaddress

import pytest

from proxy.limits.source import Trusted, source_of, source_text


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("[2001:db8:1:2::]", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::/64", "2001:db8:1:2::/64"),
        ("::1", "::/64"),
        ("0.0.0.0", "0.0.0.0"),
    ],
)
def test_a_source_is_an_address_or_a_network(address: str, text: str) -> None:
    assert source_text(source_of(address)) == text
    assert source_of(text) == source_of(address) != 0


@pytest.mark.parametrize("text", ["", "example.com", "192.0.2.1/24", "192.0.2.1:5060", "1"])
def test_anything_else_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="does not appear"):
        source_of(text)


def test_trusted_networks() -> None:
    trusted = Trusted(
        map(
            ipaddress.ip_network,
            ["10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32", "2001:db9:0:1:2::/80"],
        )
    )
    for member in ("10.0.0.0", "10.255.255.255", "192.0.2.7", "2001:db8:ffff::1", "2001:db9:0:1::"):
        assert source_of(member) in trusted, member
    for other in ("9.255.255.255", "11.0.0.0", "192.0.2.8", "2001:db9::", "2001:db7:ffff::", "::1"):
        assert source_of(other) not in trusted, other
    assert source_of("10.0.0.1") not in Trusted([])
