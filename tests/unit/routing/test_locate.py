"""RFC 3263 without a network: the questions asked, and the order of what is found."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import LocateError
from proxy.routing.dns_cache import Answer, DnsCache, Naptr, Query, Srv
from proxy.routing.locate import Located, NextHop, literal, locate, next_hop, srv_order
from proxy.sip.uri import parse_uri

FAILED = Answer(failed=True)
Zone = dict[tuple[bytes, str], Answer]


def first() -> float:
    return 0.0


def search(hop: NextHop, zone: Zone, **settings: Any) -> tuple[Located, list[Query]]:
    """Run one search over a zone; what was found, and every question in order."""
    asked: list[Query] = []
    steps = locate(hop, settings.pop("uniform", first), **settings)
    try:
        queries = next(steps)
        while True:
            asked.extend(queries)
            queries = steps.send(tuple(zone.get(query, Answer()) for query in queries))
    except StopIteration as end:
        return end.value, asked


def found(located: Located) -> list[bytes]:
    return [target.hostport for target in located.targets]


def a(*addresses: bytes) -> Answer:
    return Answer(addresses, 60)


@pytest.mark.parametrize(
    ("uri", "hop"),
    [
        (b"sip:bob@example.com", NextHop(b"example.com", 0, b"")),
        (b"sip:bob@Example.com:5070", NextHop(b"example.com", 5070, b"")),
        (b"sip:example.com;transport=UDP", NextHop(b"example.com", 0, b"udp")),
        (b"sip:bob@example.com;maddr=192.0.2.9", NextHop(b"192.0.2.9", 0, b"")),
        (b"sip:[2001:db8::1]:5080;lr", NextHop(b"2001:db8::1", 5080, b"")),
    ],
)
def test_next_hop(uri: bytes, hop: NextHop) -> None:
    assert next_hop(parse_uri(uri)) == hop


@pytest.mark.parametrize(
    "uri",
    [b"sips:bob@example.com", b"sip:example.com;transport=tcp", b"tel:+431234", b"urn:service:sos"],
)
def test_no_way(uri: bytes) -> None:
    with pytest.raises(LocateError):
        next_hop(parse_uri(uri))


@pytest.mark.parametrize(
    ("host", "port", "hostport"),
    [
        (b"192.0.2.1", 0, b"192.0.2.1:5060"),
        (b"192.0.2.1", 5080, b"192.0.2.1:5080"),
        (b"2001:db8::1", 0, b"[2001:db8::1]:5060"),
    ],
)
def test_a_literal_needs_no_question(host: bytes, port: int, hostport: bytes) -> None:
    located, asked = search(NextHop(host, port, b""), {})
    assert (found(located), asked) == ([hostport], [])
    address = literal(host, port)
    assert address is not None
    assert address.hostport == hostport


@pytest.mark.parametrize(
    "host",
    [
        b"224.0.1.75",
        b"255.255.255.255",
        b"0.0.0.0",
        b"ff02::1",
        b"::",
        b"127.1",
        b"2130706433",
        b"192.0.2.256",
    ],
)
def test_what_is_nobodys_address_is_not_sent_to_nor_asked_for(host: bytes) -> None:
    assert literal(host, 0) is None
    located, asked = search(NextHop(host, 5060, b""), {})
    assert (located, asked) == (Located((), "not a host name"), [])


def test_a_name_at_nobodys_address_is_not_sent_to() -> None:
    zone = {(b"example.com", "A"): a(b"224.0.1.75", b"192.0.2.1")}
    located, _ = search(NextHop(b"example.com", 5060, b""), zone, families=(4,))
    assert found(located) == [b"192.0.2.1:5060"]


def test_a_port_goes_straight_to_addresses() -> None:
    zone = {(b"example.com", "A"): a(b"192.0.2.1", b"192.0.2.2")}
    located, asked = search(NextHop(b"Example.COM.", 5070, b""), zone, families=(4,))
    assert found(located) == [b"192.0.2.1:5070", b"192.0.2.2:5070"]
    assert asked == [Query(b"example.com", "A")]


def test_without_naptr_and_srv_the_name_itself_at_5060() -> None:
    zone = {(b"example.com", "A"): a(b"192.0.2.1"), (b"example.com", "AAAA"): a(b"2001:db8::1")}
    located, asked = search(NextHop(b"example.com", 0, b""), zone)
    assert found(located) == [b"192.0.2.1:5060", b"[2001:db8::1]:5060"]
    assert [query.kind for query in asked] == ["NAPTR", "SRV", "A", "AAAA"]
    located, asked = search(NextHop(b"example.com", 0, b""), zone, families=(6, 4))
    assert found(located) == [b"[2001:db8::1]:5060", b"192.0.2.1:5060"]


def test_a_transport_skips_naptr() -> None:
    zone = {(b"example.com", "A"): a(b"192.0.2.1")}
    _, asked = search(NextHop(b"example.com", 0, b"udp"), zone, families=(4,))
    assert asked == [Query(b"_sip._udp.example.com", "SRV"), Query(b"example.com", "A")]


NAPTRS: tuple[Naptr, ...] = (
    Naptr(10, 10, b"S", b"SIPS+D2T", b"", b"_sips._tcp.example.com"),
    Naptr(20, 20, b"S", b"SIP+D2U", b"", b"second.example.com"),
    Naptr(20, 10, b"S", b"SIP+D2U", b"", b"first.example.com"),
    Naptr(1, 1, b"U", b"SIP+D2U", b"!x!y!", b""),
    Naptr(1, 1, b"S", b"SIP+D2U", b"", b"bad name"),
)


def test_naptr_names_the_srv_to_ask() -> None:
    zone: Zone = {
        (b"example.com", "NAPTR"): Answer(NAPTRS, 60),
        (b"first.example.com", "SRV"): Answer((Srv(0, 0, 5090, b"a.example.net"),), 60),
        (b"a.example.net", "A"): a(b"192.0.2.7"),
    }
    located, asked = search(NextHop(b"example.com", 0, b""), zone, families=(4,))
    assert found(located) == [b"192.0.2.7:5090"]
    assert asked[1] == Query(b"first.example.com", "SRV")


@pytest.mark.parametrize("answer", [FAILED, Answer(NAPTRS[:1], 60)])
def test_unusable_naptr_falls_back_to_srv(answer: Answer) -> None:
    _, asked = search(NextHop(b"example.com", 0, b""), {(b"example.com", "NAPTR"): answer})
    assert asked[1] == Query(b"_sip._udp.example.com", "SRV")


def test_srv_failover_order_with_ports() -> None:
    zone: Zone = {
        (b"_sip._udp.example.com", "SRV"): Answer(
            (
                Srv(20, 0, 5060, b"backup.example.com"),
                Srv(10, 0, 5061, b"gone.example.com"),
                Srv(10, 0, 5062, b"main.example.com"),
            ),
            60,
        ),
        (b"main.example.com", "A"): a(b"192.0.2.1"),
        (b"backup.example.com", "A"): a(b"192.0.2.2", b"192.0.2.1", b"not an address"),
    }
    located, _ = search(NextHop(b"example.com", 0, b"udp"), zone, families=(4,))
    assert found(located) == [b"192.0.2.1:5062", b"192.0.2.2:5060", b"192.0.2.1:5060"]


@pytest.mark.parametrize(
    ("hop", "zone", "words"),
    [
        (NextHop(b"example.com", 5060, b""), {}, "no such host"),
        (
            NextHop(b"example.com", 5060, b""),
            {(b"example.com", "A"): FAILED},
            "DNS does not answer",
        ),
        (
            NextHop(b"example.com", 0, b"udp"),
            {(b"_sip._udp.example.com", "SRV"): FAILED, (b"example.com", "A"): a(b"192.0.2.1")},
            "DNS does not answer",
        ),
        (
            NextHop(b"example.com", 0, b"udp"),
            {
                (b"_sip._udp.example.com", "SRV"): Answer((Srv(0, 0, 0, b""),), 60),
                (b"example.com", "A"): a(b"192.0.2.1"),
            },
            "offers no SIP over UDP",
        ),
        (NextHop(b"", 0, b""), {}, "not a host name"),
        (NextHop(b"a..b", 0, b""), {}, "not a host name"),
        (NextHop(b"x" * 64, 0, b""), {}, "not a host name"),
        (NextHop(b"a." * 130, 0, b""), {}, "not a host name"),
        (NextHop(b"a'; drop table--", 0, b""), {}, "not a host name"),
        (NextHop(b"a\x00b.example.com", 0, b""), {}, "not a host name"),
    ],
)
def test_nowhere(hop: NextHop, zone: Zone, words: str) -> None:
    located, _ = search(hop, zone)
    assert located.targets == ()
    assert words in located.failure


def test_huge_answers_are_cut() -> None:
    records = tuple(Srv(i, 0, 5060, b"h%d.example.com" % i) for i in range(200))
    zone: Zone = {(b"_sip._udp.example.com", "SRV"): Answer(records, 60)}
    for record in records:
        zone[(record.target, "A")] = a(*(b"10.0.%d.%d" % (record.priority, i) for i in range(200)))
    located, asked = search(NextHop(b"example.com", 0, b"udp"), zone, families=(4,))
    assert len(located.targets) == 16
    assert len(asked) == 1 + 8


def test_weights_are_shares() -> None:
    records = [Srv(0, 60, 1, b"a"), Srv(0, 30, 1, b"b"), Srv(0, 10, 1, b"c"), Srv(0, 0, 1, b"z")]
    draws = 10_000
    firsts = Counter(
        srv_order(records, lambda mark=number / draws: mark)[0].target for number in range(draws)
    )
    assert 5_800 < firsts[b"a"] < 6_100
    assert 2_800 < firsts[b"b"] < 3_100
    assert 900 < firsts[b"c"] < 1_100
    assert 0 < firsts[b"z"] < 150


RECORDS = st.lists(
    st.builds(Srv, st.integers(0, 3), st.integers(0, 65535), st.just(1), st.binary(max_size=3)),
    max_size=8,
)


@given(RECORDS, st.lists(st.floats(0, 1, exclude_max=True), min_size=8, max_size=8))
def test_an_order_is_a_permutation_by_priority(records: list[Srv], draws: list[float]) -> None:
    marks = iter(draws)
    ordered = srv_order(records, lambda: next(marks))
    assert sorted(ordered) == sorted(records)
    assert [r.priority for r in ordered] == sorted(r.priority for r in records)


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        (a(b"192.0.2.1"), 60),
        (Answer((b"192.0.2.1",), 9_999), 300),
        (Answer((b"192.0.2.1",), 0), 0),
        (Answer(), 30),
        (FAILED, 2),
    ],
)
def test_the_cache_keeps_answers_for_their_time(answer: Answer, seconds: int) -> None:
    cache = DnsCache(max_ttl=300)
    query = Query(b"example.com", "A")
    cache.put(query, answer, 1_000.0)
    if seconds:
        assert cache.get(query, 1_000.0 + seconds - 0.01) == answer
    assert cache.get(query, 1_000.0 + seconds) is None
    assert len(cache) == 0


def test_the_cache_is_bounded() -> None:
    cache = DnsCache(capacity=3)
    for number in range(10):
        cache.put(Query(b"h%d" % number, "A"), a(b"192.0.2.1"), 0.0)
    assert len(cache) == 3
    assert cache.get(Query(b"h6", "A"), 1.0) is None
    assert cache.get(Query(b"h7", "A"), 1.0) is not None
    cache.put(Query(b"h7", "A"), Answer(), 1.0)
    assert cache.get(Query(b"h7", "A"), 2.0) == Answer()
    assert len(cache) == 3
    none = DnsCache(capacity=0)
    none.put(Query(b"h", "A"), a(b"192.0.2.1"), 0.0)
    assert len(none) == 0
