"""What is ours, and by which of our listeners to leave."""

from __future__ import annotations

import pytest

from proxy.routing.identity import Identity
from proxy.sip.uri import parse_uri
from tests.scenarios.world import address

LISTENERS = ["192.0.2.100:5060", "[2001:db8::100]:5060", "198.51.100.1:5080"]


def identity(*listeners: str) -> Identity:
    return Identity([address(one) for one in listeners or LISTENERS], (b"example.com",))


@pytest.mark.parametrize(
    ("uri", "ours"),
    [
        ("sip:bob@example.com", True),
        ("sip:bob@EXAMPLE.com:5060", True),
        ("sip:bob@example.com:5080", True),  # a port we listen on
        ("sip:bob@example.com:5070", False),
        ("sip:bob@www.example.com", False),
        ("sip:192.0.2.100", True),
        ("sip:192.0.2.100:5061", False),
        ("sip:198.51.100.1", False),  # the default port, which is not ours there
        ("sip:198.51.100.1:5080", True),
        ("sip:[2001:db8::100]", True),
        ("sip:[2001:DB8::100]:5060", True),
        ("sip:[2001:db8::101]", False),
        ("sip:bob@example.com;maddr=192.0.2.9", True),
        ("tel:+15551234", False),
        ("urn:service:sos", False),
    ],
)
def test_is_ours(uri: str, ours: bool) -> None:
    assert identity().is_ours(parse_uri(uri.encode())) is ours


def test_a_listener_is_named_with_or_without_the_default_port() -> None:
    one = identity()
    assert one.is_listener(b"192.0.2.100", 0)
    assert one.is_listener(b"192.0.2.100", 5060)
    assert not one.is_listener(b"192.0.2.100", 5080)
    assert not one.is_listener(b"198.51.100.1", 0)


@pytest.mark.parametrize(
    ("to", "preferred", "listener"),
    [
        ("203.0.113.1:5060", 0, 0),
        ("203.0.113.1:5060", 2, 2),
        ("203.0.113.1:5060", 1, 0),  # the preferred one speaks IPv6: the first that does not
        ("[2001:db8::9]:5060", 1, 1),
        ("[2001:db8::9]:5060", 2, 1),
    ],
)
def test_listener_towards(to: str, preferred: int, listener: int) -> None:
    assert identity().listener_towards(address(to), preferred) == listener


def test_no_listener_of_a_family() -> None:
    assert identity("192.0.2.100:5060").listener_towards(address("[2001:db8::9]:5060"), 0) == -1
    assert identity("[2001:db8::100]:5060").listener_towards(address("192.0.2.9:5060"), 0) == -1


def test_via_and_route_are_ready_to_be_put_in() -> None:
    one = identity()
    assert one.vias[1] == b"Via: SIP/2.0/UDP [2001:db8::100]:5060;branch="
    assert one.routes[2] == b"<sip:198.51.100.1:5080;lr"
