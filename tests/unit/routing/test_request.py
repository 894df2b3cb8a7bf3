"""What a policy sees of a request, and what its mistakes cost."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.errors import BadMessage
from proxy.registrar.lookup import target_for
from proxy.routing.request import Request
from proxy.sip.message import parse
from tests.scenarios.world import Sent, World, address
from tests.unit.routing.bench import CALLER, registered, request, world

BOB = address("192.0.2.2:5060")


def seen(here: World, **options: str) -> Request:
    return Request(here.node, request(**options), CALLER, 0)  # type: ignore[arg-type]


def test_what_a_policy_asks(tmp_path: Path) -> None:
    here = world(tmp_path)
    out = seen(here)
    assert (out.method, out.in_dialog, out.is_for_us, out.is_from_us) == ("INVITE", 0, 0, 1)
    assert not out.has_route
    assert not out.came_by_our_route
    home = seen(here, uri="sip:bob@example.com", to_tag="b")
    assert home.in_dialog
    assert home.is_for_us
    assert home.uri.user == b"bob"
    assert home.lookup() == []
    registered(here, "sip:bob@192.0.2.2:5060")
    assert [target.uri for target in home.lookup()] == [b"sip:bob@192.0.2.2:5060"]


def test_a_response_goes_no_further_than_to_the_host_it_came_from(tmp_path: Path) -> None:
    here = world(tmp_path)
    source = address("203.0.113.5:40001")

    def goes_to(via: str) -> str:
        made = Request(here.node, request(vias=(via,)), source, 0)
        return made.reply_address().hostport.decode()

    assert goes_to("10.0.0.1:5062;branch=z9hG4bKa") == "203.0.113.5:5062"
    assert goes_to("10.0.0.1;branch=z9hG4bKa") == "203.0.113.5:5060"
    assert goes_to("pc.example.org:40001;branch=z9hG4bKa") == "203.0.113.5:40001"
    assert goes_to("10.0.0.1:5062;rport;branch=z9hG4bKa") == "203.0.113.5:40001"
    assert goes_to("10.0.0.1;maddr=192.0.2.9;branch=z9hG4bKa") == "203.0.113.5:5060"


@pytest.mark.parametrize(
    ("name", "value"), [(b"X", b"a\r\nVia: x"), (b"X", b"a\nb"), (b"", b"a"), (b"X:", b"a")]
)
def test_a_header_that_would_be_two_is_refused(tmp_path: Path, name: bytes, value: bytes) -> None:
    with pytest.raises(ValueError, match=r"header (name|value)"):
        seen(world(tmp_path)).add_header(name, value)


def test_only_the_first_final_answer_goes_out(tmp_path: Path) -> None:
    here = world(tmp_path)
    asked = seen(here)
    asked.reply(180)
    asked.reply(404, "Nobody", b"X-Why: because\r\n", b"a body")
    asked.reply(200)
    first, second = here.collect()
    assert first.message.status == 180
    assert second.data.startswith(b"SIP/2.0 404 Nobody\r\n")
    assert b"\r\nX-Why: because\r\nContent-Length: 6\r\n\r\na body" in second.data
    assert second.message.to_tag == first.message.to_tag != b""


def test_the_tag_of_our_answers_is_the_same_from_any_worker(tmp_path: Path) -> None:
    tags = set()
    for _ in range(2):
        here = world(tmp_path)
        seen(here).reply(404)
        tags.add(here.collect()[0].message.to_tag)
    assert len(tags) == 1


def relayed(here: World, **options: str) -> tuple[int, list[Sent]]:
    outcome = seen(here, **options).relay([target_for(b"sip:bob@192.0.2.2")])
    return outcome.status, here.collect()


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"max_forwards": "0"}, 483),
        ({"headers": "Proxy-Require: foo"}, 420),
        ({"headers": "|".join(f"X-{n}: 1" for n in range(112))}, 513),
        ({}, 0),
    ],
)
def test_an_outcome_tells_what_the_caller_was_told(
    tmp_path: Path, options: dict[str, str], status: int
) -> None:
    told, sent = relayed(world(tmp_path), **options)
    assert told == status
    if status:
        assert [one.message.status for one in sent] == [status]
    else:
        assert [one.to for one in sent] == [CALLER, BOB]


def test_a_full_worker_says_so_before_it_accepts(tmp_path: Path) -> None:
    here = World(tmp_path, capacity=1)
    told, sent = relayed(here)
    assert told == 503
    assert sent[0].message.named(b"Retry-After") == [b"5"]
    assert here.left() == (0, 0, 0)


def test_no_target_at_all(tmp_path: Path) -> None:
    here = world(tmp_path)
    assert seen(here).relay([]).status == 480
    assert [one.message.status for one in here.collect()] == [100, 480]


def test_an_answer_or_a_drop_ends_the_matter(tmp_path: Path) -> None:
    here = world(tmp_path)
    answered = seen(here)
    answered.reply(404)
    assert answered.relay().status == 404
    dropped = seen(here)
    dropped.drop()
    assert dropped.relay().status == 500
    dropped.reply(200)
    assert [one.message.status for one in here.collect()] == [404]


def test_relays_under_way_are_one_fork_with_one_outcome(tmp_path: Path) -> None:
    asked = seen(world(tmp_path))
    first = asked.relay([target_for(b"sip:bob@192.0.2.2")])
    second = asked.relay([target_for(b"sip:bob@192.0.2.3")])
    assert first is second
    assert asked.context is not None
    assert asked.context.open == 2


def test_a_bad_uri_that_a_policy_meets_is_the_callers_fault(tmp_path: Path) -> None:
    async def curious(request: Request) -> None:
        raise BadMessage("Contact: no URI", 400)

    here = world(tmp_path)
    seen(here).run(curious)
    (sent,) = here.collect()
    assert sent.data.startswith(b"SIP/2.0 400 Contact: no URI\r\n")
    assert here.count("sipherd:policy_errors") == 0


def test_a_body_and_odd_headers_go_through_an_answer_untouched(tmp_path: Path) -> None:
    here = world(tmp_path)
    seen(here, headers="Record-Route: <sip:192.0.2.60;lr>").reply(486)
    answer = parse(here.collect()[0].data)
    assert answer.headers(8) == []  # no dialog comes of it: no Record-Route
