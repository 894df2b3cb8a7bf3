"""Phones registered at each other: one datagram must not become thousands (RFC 5393).

Every AoR here has the others of this server as its contacts, so each request that the proxy
sends comes back to it for somebody else, which is no loop.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.limits import bounds
from proxy.sip.address import Address
from tests.scenarios.world import World, address

PROXY = "192.0.2.100:5060"
BOMBER = address("192.0.2.66:5060")
USERS = 12
# Hops of as many branches as a request may have at a time, for as many groups as may be tried.
PARALLEL = bounds.MAX_BREADTH * (bounds.SPIRALS + 2)
TELEPHONES = 10


def datagram(method: str, user: str, *lines: str) -> bytes:
    return "\r\n".join(
        [
            f"{method} sip:{user}@example.com SIP/2.0",
            f"Via: SIP/2.0/UDP 192.0.2.66:5060;branch=z9hG4bK{method}{user}",
            "Max-Forwards: 70",
            "From: <sip:mallory@example.com>;tag=1",
            f"To: <sip:{user}@example.com>",
            f"Call-ID: {method}-{user}",
            f"CSeq: 1 {method}",
            *lines,
            "Content-Length: 0",
            "",
            "",
        ]
    ).encode()


def plant(world: World, qs: bool) -> None:
    """Register every user at ten others."""
    for number in range(USERS):
        others = [other for other in range(USERS) if other != number][:TELEPHONES]
        contacts = [
            f"Contact: <sip:u{other}@example.com;maddr=192.0.2.100>" + (f";q=0.{place}" * qs)
            for place, other in enumerate(others)
        ]
        (answer,) = world.deliver(datagram("REGISTER", f"u{number}", *contacts), BOMBER)
        assert answer.message.status == 200


def explode(world: World, data: bytes) -> int:
    """How many datagrams the proxy sends because of one, and what comes of those."""
    proxy: Address = address(PROXY)
    sent = 0
    waiting = [(data, BOMBER)]
    while waiting:
        for out in world.deliver(*waiting.pop()):
            sent += 1
            assert sent < 200_000, "it goes on and on"
            if out.to == proxy:
                waiting.append((out.data, proxy))
    return sent


@pytest.mark.parametrize("method", ["ACK", "CANCEL", "INVITE", "MESSAGE"])
def test_contacts_tried_at_once(tmp_path: Path, method: str) -> None:
    world = World(tmp_path, capacity=100_000)
    plant(world, qs=False)
    assert explode(world, datagram(method, "u0")) < 4 * PARALLEL


@pytest.mark.parametrize("method", ["INVITE", "MESSAGE"])
def test_contacts_tried_one_after_the_other(tmp_path: Path, method: str) -> None:
    world = World(tmp_path, capacity=100_000)
    plant(world, qs=True)
    assert explode(world, datagram(method, "u0")) < 4 * PARALLEL * TELEPHONES


def test_long_texts_are_not_remembered(tmp_path: Path) -> None:
    world = World(tmp_path)
    length = bounds.REMEMBERED_BYTES
    world.deliver(datagram("REGISTER", "u0", "Contact: <sip:u0@192.0.2.7>"), BOMBER)
    assert len(world.deliver(datagram("INVITE", "u0"), BOMBER)) == 2
    assert len(world.node.literals) == 1
    long_contact = f"Contact: <sip:{'x' * (length - 20)}@192.0.2.7>"
    world.deliver(datagram("REGISTER", "u1", long_contact), BOMBER)
    assert len(world.deliver(datagram("INVITE", "u1"), BOMBER)) == 2
    uri = f"sip:{'x' * length}@192.0.2.8"
    outbound = datagram("INVITE", "u2").replace(b"sip:u2@example.com SIP", uri.encode() + b" SIP")
    assert len(world.deliver(outbound, BOMBER)) == 2
    assert all(len(text) <= length for text in world.node.literals)


def test_a_chain_of_contacts_ends(tmp_path: Path) -> None:
    world = World(tmp_path)
    for number in range(60):
        contact = f"Contact: <sip:u{number + 1}@example.com;maddr=192.0.2.100>"
        world.deliver(datagram("REGISTER", f"u{number}", contact), BOMBER)
    assert explode(world, datagram("ACK", "u0")) == bounds.SPIRALS + 1
    assert explode(world, datagram("INVITE", "u0")) < 6 * (bounds.SPIRALS + 2)
    assert world.count("sipherd:loops_detected") == 1
