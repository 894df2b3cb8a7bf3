"""A request as it goes on, byte for byte (RFC 3261 §16.6), and loops (RFC 5393)."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.errors import BadMessage
from proxy.registrar.lookup import target_for
from proxy.sip.header_ids import MAX_BREADTH, RECORD_ROUTE, ROUTE, VIA
from proxy.sip.message import parse
from tests.unit.routing.bench import registered, relay_of, request, world

TARGET = target_for(b"sip:bob@192.0.2.2:5060")


def test_a_forwarded_request_differs_only_where_it_must(tmp_path: Path) -> None:
    message = request(headers="X-Odd:  Spaced \t,value |s: folded|x-odd: again", max_forwards="10")
    relay = relay_of(world(tmp_path), message)
    sent = relay.build(TARGET, b"z9hG4bKx", 0, 0)
    assert sent.startswith(
        b"INVITE sip:bob@192.0.2.2:5060 SIP/2.0\r\n"
        b"Via: SIP/2.0/UDP 192.0.2.100:5060;branch=z9hG4bKx\r\n"
    )
    rest = sent.split(b"\r\n", 2)[2]
    expected = message.data.split(b"\r\n", 1)[1].replace(b"Max-Forwards: 10", b"Max-Forwards: 9")
    assert rest == expected


def test_max_forwards_is_put_in_where_absent(tmp_path: Path) -> None:
    relay = relay_of(world(tmp_path), request(max_forwards=""))
    assert parse(relay.build(TARGET, b"z9hG4bKx", 0, 0)).max_forwards == 70


def test_record_route_names_the_listener_and_two_when_they_differ(tmp_path: Path) -> None:
    both = world(tmp_path, "192.0.2.100:5060", "[2001:db8::100]:5060")
    relay = relay_of(both, request())
    relay.record_route = True
    one = parse(relay.build(TARGET, b"z9hG4bKx", 0, 0)).values(RECORD_ROUTE)
    assert len(one) == 1
    assert one[0].startswith(b"<sip:192.0.2.100:5060;lr;k=")
    out, back = parse(relay.build(TARGET, b"z9hG4bKx", 1, 0)).values(RECORD_ROUTE)
    assert out.startswith(b"<sip:[2001:db8::100]:5060;lr;r2=on;k=")
    assert back.startswith(b"<sip:192.0.2.100:5060;lr;r2=on;k=")


def test_path_goes_before_what_is_left_of_the_route(tmp_path: Path) -> None:
    here = world(tmp_path)
    path = "<sip:192.0.2.50;lr>, <sip:10.0.0.9;lr>"
    target = registered(here, "sip:bob@10.0.0.2:5060", "192.0.2.50:5060", path)
    relay = relay_of(here, request(headers="Route: <sip:192.0.2.60;lr>"))
    sent = parse(relay.build(target, b"z9hG4bKx", 0, 0))
    assert sent.values(ROUTE) == [
        b"<sip:192.0.2.50;lr>",
        b"<sip:10.0.0.9;lr>",
        b"<sip:192.0.2.60;lr>",
    ]
    assert relay.next_hop(target).host == b"192.0.2.50"


def test_the_next_hop_is_path_route_received_or_target(tmp_path: Path) -> None:
    here = world(tmp_path)
    relay = relay_of(here, request())
    target = registered(here, "sip:bob@10.0.0.2:5062")
    assert (relay.next_hop(target).host, relay.next_hop(target).port) == (b"10.0.0.2", 5062)
    target = registered(world(tmp_path), "sip:bob@10.0.0.2:5062", "203.0.113.5:40001")
    assert (relay.next_hop(target).host, relay.next_hop(target).port) == (b"203.0.113.5", 40001)
    routed = relay_of(here, request(headers="Route: <sip:192.0.2.60:5070;lr>"))
    assert (routed.next_hop(target).host, routed.next_hop(target).port) == (b"192.0.2.60", 5070)


@pytest.mark.parametrize(
    ("method", "headers", "given_breadth", "stands"),
    [
        ("INVITE", "", 60, [b"60"]),
        ("INVITE", "", 20, [b"20"]),
        ("INVITE", "Max-Breadth: 9", 4, [b"4"]),
        ("MESSAGE", "", 60, []),
        ("MESSAGE", "", 30, [b"30"]),
        ("MESSAGE", "Max-Breadth: 9", 9, [b"9"]),
        ("CANCEL", "Max-Breadth: 9", 0, [b"9"]),
    ],
)
def test_max_breadth(
    tmp_path: Path, method: str, headers: str, given_breadth: int, stands: list[bytes]
) -> None:
    relay = relay_of(world(tmp_path), request(method, headers=headers))
    assert parse(relay.build(TARGET, b"z9hG4bKx", 0, given_breadth)).values(MAX_BREADTH) == stands


@pytest.mark.parametrize(("value", "breadth"), [("", 60), ("0", 0), ("7", 7), ("99999", 60)])
def test_breadth(tmp_path: Path, value: str, breadth: int) -> None:
    headers = f"Max-Breadth: {value}" if value else ""
    assert relay_of(world(tmp_path), request(headers=headers)).breadth() == breadth


@pytest.mark.parametrize("value", ["-1", "1.5", "many", "999999"])
def test_a_breadth_that_is_no_number(tmp_path: Path, value: str) -> None:
    with pytest.raises(BadMessage, match="Max-Breadth"):
        relay_of(world(tmp_path), request(headers=f"Max-Breadth: {value}")).breadth()


def test_only_the_same_request_is_a_loop(tmp_path: Path) -> None:
    here = world(tmp_path)
    first = relay_of(here, request())
    branch = first.branch(TARGET, 0).decode()
    via = f"192.0.2.100:5060;branch={branch}"
    back = ("192.0.2.2;branch=z9hG4bKb", via, "192.0.2.1;branch=z9hG4bKa")
    assert not first.has_looped()
    assert relay_of(here, request(vias=back)).has_looped()
    assert not relay_of(here, request(uri="sip:carol@192.0.2.2", vias=back)).has_looped()  # spiral
    elsewhere = tuple(one.replace("192.0.2.100", "192.0.2.101") for one in back)
    assert not relay_of(here, request(vias=elsewhere)).has_looped()  # another's Via
    routed = request(vias=back, headers="Route: <sip:192.0.2.60;lr>")
    assert not relay_of(here, routed).has_looped()


def test_each_address_and_path_has_its_own_branch(tmp_path: Path) -> None:
    relay = relay_of(world(tmp_path), request())
    uri = TARGET.uri.decode()
    nat = registered(world(tmp_path), uri, "203.0.113.5:40001")
    edge = registered(world(tmp_path), uri, path="<sip:192.0.2.50;lr>")
    branches = [relay.branch(TARGET, n) for n in range(3)]
    branches += [relay.branch(nat, 0), relay.branch(edge, 0)]
    assert len(set(branches)) == 5
    assert len({branch[23:31] for branch in branches}) == 1  # one loop hash


def test_ack_and_cancel_get_the_branch_of_their_invite(tmp_path: Path) -> None:
    here = world(tmp_path)
    branches = {
        relay_of(here, request(method, to_tag=tag)).branch(TARGET, 0)
        for method, tag in (("INVITE", ""), ("CANCEL", ""), ("ACK", "b"))
    }
    assert len(branches) == 1


route = st.sampled_from(
    [
        "<sip:192.0.2.60;lr>",
        "<sip:192.0.2.61:5070;lr;x=1>",
        '"P, one" <sip:192.0.2.62;lr>;y="a,b"',
        "<sip:192.0.2.63>",
    ]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(lines=st.lists(st.lists(route, min_size=1, max_size=3), min_size=1, max_size=3))
def test_whatever_the_route_looks_like_it_goes_on_whole(
    tmp_path: Path, lines: list[list[str]]
) -> None:
    here = world(tmp_path)
    headers = "|".join("Route: " + ", ".join(line) for line in lines)
    relay = relay_of(here, request(headers=headers))
    sent = parse(relay.build(TARGET, b"z9hG4bKx", 0, 0))
    values = [value.encode() for line in lines for value in line]
    if b";lr" in values[0]:
        assert sent.request_uri == TARGET.uri
        assert sent.values(ROUTE) == values
    else:
        assert sent.request_uri == b"sip:192.0.2.63"
        assert sent.values(ROUTE) == [*values[1:], b"<" + TARGET.uri + b">"]
    assert len(sent.values(VIA)) == 2
