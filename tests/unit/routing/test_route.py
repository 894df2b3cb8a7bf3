"""Route pre-processing (RFC 3261 §16.4): what of the Route is ours, and whether it may be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.routing.route import prepare_routes
from proxy.sip.message import Message, parse
from tests.scenarios.world import World
from tests.unit.routing.bench import relay_of, request, world

OURS = "<sip:192.0.2.100:5060;lr>"
THEIRS = "<sip:192.0.2.60;lr>"


def cookie_of(here: World, message: Message) -> str:
    return here.node.signer.route_cookie(message.call_id, message.from_tag).decode()


@pytest.mark.parametrize(
    ("route", "left"),
    [
        (OURS, []),
        (f"{OURS}, {THEIRS}", [THEIRS]),
        (f"{OURS}|Route: {OURS}, {THEIRS}", [THEIRS]),
        (f"{THEIRS}, {OURS}", [THEIRS, OURS]),
        ("<sip:example.com;lr>", []),
        ("<sip:bob@192.0.2.100;lr>", ["<sip:bob@192.0.2.100;lr>"]),  # with a user it is a person
    ],
)
def test_our_own_entries_are_taken_off_the_top(tmp_path: Path, route: str, left: list[str]) -> None:
    relay = relay_of(world(tmp_path), request(headers=f"Route: {route}"))
    assert not prepare_routes(relay)
    assert [value.decode() for value in relay.routes()] == left


def test_the_cookie_is_good_from_either_end_of_the_dialog(tmp_path: Path) -> None:
    here = world(tmp_path)
    cookie = cookie_of(here, request())
    ours = f"Route: <sip:192.0.2.100:5060;lr;k={cookie}>"
    assert prepare_routes(relay_of(here, request("BYE", headers=ours, to_tag="b")))
    turned = request("BYE", headers=ours, to_tag="b").data.replace(b"tag=a", b"tag=x")
    turned = turned.replace(b"tag=b", b"tag=a")
    assert prepare_routes(relay_of(here, parse(turned)))
    stranger = turned.replace(b"tag=a", b"tag=y")
    assert not prepare_routes(relay_of(here, parse(stranger)))
    other_call = request("BYE", headers=ours, to_tag="b").data.replace(b"c1", b"c2")
    assert not prepare_routes(relay_of(here, parse(other_call)))


@pytest.mark.parametrize("value", ["", "k", "k=", "k=0123456789abcdef"])
def test_a_cookie_that_is_none(tmp_path: Path, value: str) -> None:
    headers = f"Route: <sip:192.0.2.100:5060;lr;{value}>" if value else f"Route: {OURS}"
    assert not prepare_routes(relay_of(world(tmp_path), request("BYE", headers=headers)))


def test_a_strict_router_before_us_is_undone(tmp_path: Path) -> None:
    here = world(tmp_path)
    uri = f"sip:192.0.2.100:5060;lr;k={cookie_of(here, request())}"
    headers = f"Route: {THEIRS}, <sip:bob@192.0.2.2>"
    relay = relay_of(here, request("BYE", uri=uri, headers=headers, to_tag="b"))
    assert prepare_routes(relay)
    assert relay.request_uri == b"sip:bob@192.0.2.2"
    assert relay.routes() == [THEIRS.encode()]


def test_a_request_to_us_with_a_route_is_no_strict_router(tmp_path: Path) -> None:
    relay = relay_of(world(tmp_path), request(uri="sip:192.0.2.100", headers=f"Route: {THEIRS}"))
    assert not prepare_routes(relay)
    assert relay.request_uri == b"sip:192.0.2.100"
    assert relay.routes() == [THEIRS.encode()]


def test_the_last_of_our_entries_says_by_which_listener_to_leave(tmp_path: Path) -> None:
    here = world(tmp_path, "192.0.2.100:5060", "198.51.100.1:5060")
    pair = "Route: <sip:192.0.2.100;lr;r2=on>, <sip:198.51.100.1:5060;lr;r2=on>"
    relay = relay_of(here, request(headers=pair))
    prepare_routes(relay)
    assert relay.leave_by == 1
    relay = relay_of(here, request(headers="Route: <sip:example.com;lr>"), listener=1)
    prepare_routes(relay)
    assert relay.leave_by == 1  # a domain says nothing: by the one it came in
