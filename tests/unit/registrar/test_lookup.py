"""Targets: live ones only, by q, filtered by method."""

from __future__ import annotations

import pytest

from proxy.registrar.lookup import lookup, registered
from tests.unit.registrar.conftest import AOR, LISTENER, NOW, Registrar


def uris(registrar: Registrar, method: str, now: int = NOW) -> list[bytes]:
    return [target.uri for target in lookup(registrar.table, AOR, method, now)]


def test_nobody(registrar: Registrar) -> None:
    assert lookup(registrar.table, AOR, "INVITE", NOW) == []
    assert not registered(registrar.table, AOR, NOW)


def test_everything_a_branch_needs(registrar: Registrar) -> None:
    registrar.register(b"Contact: <sip:a@10.0.0.7;ob>;q=0.25", b"Allow: INVITE")
    (target,) = lookup(registrar.table, AOR, "INVITE", NOW)
    assert target.uri == b"sip:a@10.0.0.7;ob"
    assert target.received == b"198.51.100.7:5060"
    assert target.socket == LISTENER
    assert (target.path, target.q, target.methods, target.flags) == (b"", 250, 1, 1)
    assert repr(target).startswith("<Target b'sip:a@10.0.0.7;ob' q=250")


def test_by_q_and_otherwise_as_registered(registrar: Registrar) -> None:
    registrar.register(
        b"Contact: <sip:a@h1>;q=0.1, <sip:b@h2>;q=0.9, <sip:c@h3>, <sip:d@h4>;q=0.9, <sip:e@h5>;q=0"
    )
    assert uris(registrar, "") == [b"sip:c@h3", b"sip:b@h2", b"sip:d@h4", b"sip:a@h1", b"sip:e@h5"]


def test_expired_ones_are_not_there(registrar: Registrar) -> None:
    registrar.register(b"Contact: <sip:a@h1>;expires=100, <sip:b@h2>;expires=200")
    assert uris(registrar, "INVITE", NOW + 99) == [b"sip:a@h1", b"sip:b@h2"]
    assert uris(registrar, "INVITE", NOW + 100) == [b"sip:b@h2"]
    assert registered(registrar.table, AOR, NOW + 199)
    assert not registered(registrar.table, AOR, NOW + 200)


@pytest.mark.parametrize(
    ("method", "found"),
    [
        ("INVITE", [b"sip:all@h1", b"sip:some@h2"]),
        ("MESSAGE", [b"sip:all@h1"]),
        ("X-WEIRD", [b"sip:all@h1"]),
        ("", [b"sip:all@h1", b"sip:some@h2"]),
    ],
)
def test_methods(registrar: Registrar, method: str, found: list[bytes]) -> None:
    registrar.register(b"Contact: <sip:all@h1>")
    registrar.register(b"Contact: <sip:some@h2>", b"Allow: INVITE, ACK, BYE", call_id=b"c2")
    assert uris(registrar, method) == found
