"""Where a side of a call is in truth."""

from __future__ import annotations

import pytest

from proxy.dialog.nat import is_inside, reached_at, sender_reached_at
from proxy.dialog.route_set import names_host
from proxy.sip.address import Address
from proxy.sip.message import parse

SEEN = Address.parse(b"203.0.113.7", 40_000)


@pytest.mark.parametrize(
    ("contact", "told", "hidden"),
    [
        (b"sip:bob@203.0.113.7:40000", b"", False),
        (b"sip:bob@203.0.113.7:40000", b"sip:bob@203.0.113.7:40000", False),
        (b"sip:bob@192.168.1.7", b"", True),
        (b"sip:bob@192.168.1.7", b"sip:bob@192.168.1.9", True),
        (b"sip:bob@198.51.100.7", b"", False),
        (b"sip:bob@198.51.100.7", b"sip:bob@198.51.100.7", True),  # it was not there before
        (b"sip:bob@198.51.100.7:5070", b"sip:bob@198.51.100.7", True),
        (b"sip:bob@198.51.100.8", b"sip:bob@198.51.100.7", False),
        (b"sip:bob@phone.lan", b"sip:bob@phone.lan", True),
        (b"sip:bob@phone.example.com", b"", False),
        (b"sip:bob@203.0.113.7:5060", b"sip:bob@203.0.113.7:5060", True),  # its NAT's other port
        (b"sip:bob@203.0.113.7:5062", b"sip:bob@203.0.113.7:5060", False),
        (b"sip:bob@[fd00::1]", b"", True),
        (b"sip:bob@[2001:db8::1]", b"", False),
        (b"tel:+4930123456", b"", False),
        (b"nonsense", b"sip:bob@198.51.100.7", False),
        (b"", b"", False),
    ],
)
def test_who_says_where_it_is_not(contact: bytes, told: bytes, hidden: bool) -> None:
    assert reached_at(contact, told, SEEN) == (SEEN.hostport if hidden else b"")


def test_inside_one_network_a_contact_is_taken_at_its_word() -> None:
    seen = Address.parse(b"10.1.1.1", 5060)
    assert reached_at(b"sip:bob@10.2.2.2", b"", seen) == b""
    assert reached_at(b"sip:bob@192.168.1.7", b"", seen) == b""


@pytest.mark.parametrize(
    ("via", "contact", "hidden"),
    [
        ("192.168.1.7:5060;rport", "192.168.1.7:5060", True),
        ("203.0.113.7:5060;rport", "203.0.113.7:5060", True),
        ("203.0.113.7:5060", "203.0.113.7:5060", False),  # sends from another port, listens there
        ("[fd00::1]:5060", "[fd00::1]:5060", True),
        ("198.51.100.1", "198.51.100.1", True),
        ("198.51.100.1", "198.51.100.2", False),
        ("203.0.113.7:40000;branch=z9hG4bKx, SIP/2.0/UDP 10.0.0.1", "10.0.0.1", False),
    ],
)
def test_the_sender_by_its_via(via: str, contact: str, hidden: bool) -> None:
    request = parse(
        f"INVITE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP {via}\r\nFrom: <sip:a@b>;tag=1\r\n"
        "To: <sip:a@b>\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\nContact: <sip:x>\r\n\r\n".encode()
    )
    found = sender_reached_at(f"sip:alice@{contact}".encode(), request, SEEN)
    assert found == (SEEN.hostport if hidden else b"")


def test_what_is_inside() -> None:
    inside = (b"10.0.0.1", b"172.31.255.255", b"100.64.0.1", b"::1", b"[fe80::1]", b"127.0.0.1")
    assert all(map(is_inside, inside))
    assert not any(map(is_inside, (b"172.32.0.1", b"203.0.113.1", b"h", b"\xff", b"", b"10.1")))


def test_a_host_is_found_in_a_contact_without_a_parser() -> None:
    for value in (b"<sip:bob@203.0.113.7>", b"sip:203.0.113.7:5060", b"<sip:b@203.0.113.7;x>;q=1"):
        assert names_host(value, b"203.0.113.7")
    for value in (b"<sip:b@203.0.113.77>", b"<sip:b@1203.0.113.7>", b"<sip:203.0.113.7@h>", b"*"):
        assert not names_host(value, b"203.0.113.7")
    assert names_host(b"<sip:bob@[2001:db8::1]:5060>", b"2001:db8::1")
