from __future__ import annotations

import pytest

from proxy.errors import BadMessage
from proxy.sip.headers import (
    parse_contacts,
    parse_cseq,
    parse_expires,
    parse_name_addr,
    parse_routes,
    parse_via,
    parse_vias,
    split_commas,
)


def test_via() -> None:
    via = parse_via(
        b"SIP/2.0/udp Host.Example:5070;Branch=z9hG4bKx;received=192.0.2.1;rport=40000"
        b';maddr=239.0.0.1;ttl=1;x="a;b"'
    )
    assert (via.protocol, via.transport, via.host, via.port) == (
        b"SIP/2.0", b"UDP", b"host.example", 5070,
    )  # fmt: skip
    assert (via.branch, via.received, via.rport) == (b"z9hG4bKx", b"192.0.2.1", 40000)
    assert (via.maddr, via.ttl) == (b"239.0.0.1", 1)
    assert via.param(b"X") == b"a;b"
    assert via.param(b"y") is None
    assert via.hostport == b"host.example:5070"


def test_least_via() -> None:
    via = parse_via(b"SIP/2.0/TCP [2001:DB8::1]")
    assert (via.host, via.host_is_v6, via.port, via.branch) == (b"2001:db8::1", True, 0, b"")
    assert (via.received, via.rport, via.maddr, via.ttl, via.params) == (b"", -1, b"", -1, b"")
    assert via.hostport == b"[2001:db8::1]"
    assert parse_via(b"SIP/2.0/UDP h;rport").rport == 0
    assert parse_via(b"sip / 2.0 / UDP h : 5060 ; branch = x ").port == 5060


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"SIP/2.0/UDP",
        b"SIP/2.0/UDP ",
        b"SIP/2.0 h",
        b"SIP/3.0/UDP h",
        b"HTTP/2.0/UDP h",
        b"SIP/2.0/UDP h:",
        b"SIP/2.0/UDP h:0",
        b"SIP/2.0/UDP h;",
        b"SIP/2.0/UDP h;;a",
        b"SIP/2.0/UDP h;branch=",
        b"SIP/2.0/UDP h;branch",
        b"SIP/2.0/UDP h;branch=a;branch=b",
        b"SIP/2.0/UDP h;received=a;received=b",
        b"SIP/2.0/UDP h;rport;rport",
        b"SIP/2.0/UDP h;rport=",
        b"SIP/2.0/UDP h;rport=x",
        b"SIP/2.0/UDP h;ttl=256",
        b"SIP/2.0/UDP h, SIP/2.0/UDP i",
        b"SIP/2.0/UDP h x",
        b"SIP/2.0/UDP [::1",
        b"SIP/2.0/UDP 2001:db8::1",
    ],
)
def test_bad_via(value: bytes) -> None:
    with pytest.raises(BadMessage):
        parse_via(value)


def test_vias_of_lines() -> None:
    lines = [b"SIP/2.0/UDP a, SIP/2.0/UDP b", b'SIP/2.0/UDP c;x=","']
    assert [via.host for via in parse_vias(lines)] == [b"a", b"b", b"c"]


@pytest.mark.parametrize(
    ("value", "display", "uri", "params", "tag"),
    [
        (b"<sip:a@b>", b"", b"sip:a@b", b"", b""),
        (b"sip:a@b;tag=1", b"", b"sip:a@b", b"tag=1", b"1"),
        (b"sip:a@b ; tag = 1", b"", b"sip:a@b", b" tag = 1", b"1"),
        (b'"A \\"B\\"" <sip:a@b;x>;tag=1;y=2', b'A "B"', b"sip:a@b;x", b"tag=1;y=2", b"1"),
        (b"A B <sip:a@b>", b"A B", b"sip:a@b", b"", b""),
        (b"A<sip:a@b>", b"A", b"sip:a@b", b"", b""),
        (b'"" <sip:a@b?x=%20>', b"", b"sip:a@b?x=%20", b"", b""),
        (b'"<sip:x@y>" <sip:a@b>', b"<sip:x@y>", b"sip:a@b", b"", b""),
    ],
)
def test_name_addr(value: bytes, display: bytes, uri: bytes, params: bytes, tag: bytes) -> None:
    found = parse_name_addr(value)
    assert (found.display, found.uri, found.params, found.tag) == (display, uri, params, tag)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b" ",
        b"<>",
        b"<sip:a@b",
        b"<sip:a@b>x",
        b"<sip:a@b>;",
        b"<sip:a@b>;;x",
        b"<sip:a@b>;tag=",
        b'<sip:a@b>;tag="x"',
        b"<sip:a@b>, <sip:c@d>",
        b'"open <sip:a@b>',
        b'"no uri"',
        b'"a" sip:a@b',
        b"sip:a@b?x=y",
        b"< sip:a@b>",
        b"a, b <sip:a@b>",
        b"sip:a@b <sip:c@d>",
        b"nocolon",
        b'<sip:a@b>;x="',
        b'<sip:a@b>;x="\\"',
    ],
)
def test_bad_name_addr(value: bytes) -> None:
    with pytest.raises(BadMessage):
        parse_name_addr(value)


def test_contacts() -> None:
    found = parse_contacts(
        [
            b'<sip:a@b>;q=0.7;expires=60;+sip.instance="<urn:uuid:1>";reg-id=2, sip:c@d',
            b'"x, y" <sip:e@f;a=b,c>;q=1.000;expires=bad',
        ]
    )
    assert [c.uri for c in found] == [b"sip:a@b", b"sip:c@d", b"sip:e@f;a=b,c"]
    assert [c.q for c in found] == [700, -1, 1000]
    assert [c.expires for c in found] == [60, -1, 3600]
    assert (found[0].instance, found[0].reg_id) == (b"<urn:uuid:1>", 2)
    assert (found[1].instance, found[1].reg_id) == (b"", -1)
    assert found[0].param(b"Reg-ID") == b"2"
    assert not any(c.star for c in found)


def test_star() -> None:
    (only,) = parse_contacts([b" * "])
    assert (only.star, only.uri, only.q, only.expires) == (True, b"", -1, -1)
    assert only.raw == b"*"
    assert only.display == b""


@pytest.mark.parametrize(
    "lines",
    [
        [b"*", b"<sip:a@b>"],
        [b"*, *"],
        [b"*;expires=0"],
        [b"<sip:a@b>,"],
        [b""],
        [b"<sip:a@b>;q=1.1"],
        [b"<sip:a@b>;q=0.1234"],
        [b"<sip:a@b>;q="],
        [b"<sip:a@b>;q"],
        [b"<sip:a@b>;q=0,5"],
        [b"<sip:a@b>;q=2"],
        [b"<sip:a@b>;q=0x"],
        [b"<sip:a@b>;reg-id=0"],
        [b"<sip:a@b>;expires=1;expires=2"],
        [b"<sip:a@b>"] * 33,
    ],
)
def test_bad_contacts(lines: list[bytes]) -> None:
    with pytest.raises(BadMessage):
        parse_contacts(lines)


@pytest.mark.parametrize(("text", "q"), [(b"0", 0), (b"1", 1000), (b"0.", 0), (b"0.05", 50)])
def test_q_values(text: bytes, q: int) -> None:
    assert parse_contacts([b"<sip:a@b>;q=" + text])[0].q == q


def test_routes() -> None:
    found = parse_routes([b'<sip:a;lr>;x=y , "P" <sip:b>', b"<sip:c>"])
    assert [route.uri for route in found] == [b"sip:a;lr", b"sip:b", b"sip:c"]
    assert found[0].param(b"x") == b"y"


@pytest.mark.parametrize("lines", [[b"sip:a;lr"], [b""], [b"<sip:a>,"], [b"<sip:a>"] * 33])
def test_bad_routes(lines: list[bytes]) -> None:
    with pytest.raises(BadMessage):
        parse_routes(lines)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [(b"0", 0), (b"3600", 3600), (b"4294967295", 4294967295), (b"4294967296", 3600), (b"", 3600),
     (b"-1", 3600), (b"1 2", 3600), (b"99999999999999999999", 3600)],
)  # fmt: skip
def test_expires(text: bytes, seconds: int) -> None:
    assert parse_expires(text) == seconds


def test_cseq() -> None:
    assert parse_cseq(b"0 ACK") == (0, "ACK")
    for bad in (b"", b"1", b"ACK", b"1ACK", b"1 A B", b"2147483648 ACK"):
        with pytest.raises(BadMessage):
            parse_cseq(bad)


def test_split_commas() -> None:
    value = b'a , "b,\\",c" , <d,e>,,f'
    assert split_commas(value) == [b"a", b'"b,\\",c"', b"<d,e>", b"f"]
    assert split_commas(b"") == []
    with pytest.raises(BadMessage):
        split_commas(b'"open')
