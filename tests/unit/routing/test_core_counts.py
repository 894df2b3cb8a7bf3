"""What is counted of faults at the top of the core, and what a request may cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from proxy.limits import bounds
from proxy.registrar.lookup import Target, lookup, target_for
from proxy.routing.request import Request
from proxy.sip.patching import response
from tests.scenarios.telephone import Telephone
from tests.scenarios.world import Sent, World, address

ALICE = address("192.0.2.1:5060")


@pytest.fixture
def alice() -> Telephone:
    return Telephone("alice", ALICE)


def counted(world: World, *names: str) -> list[int]:
    return [world.count(name) for name in names]


def test_an_exception_in_the_core_costs_one_datagram(tmp_path: Path, alice: Telephone) -> None:
    def broken(request: Any) -> Any:
        return 1 // 0

    world = World(tmp_path, policy=broken)
    data = alice.request("OPTIONS", "sip:example.com")
    world.core.receive_batch([(0, ALICE.sockaddr, 0, data)])
    assert [one.message.status for one in world.collect()] == [500]
    assert counted(world, "sipherd:internal_errors", "sl:5xx_replies") == [1, 1]
    level, event, fields = world.log.events[-1]
    assert (level, event) == ("error", "internal error")
    assert "ZeroDivisionError" in str(fields["error"])
    assert "in broken" in str(fields["trace"])


def test_malformed_messages_are_counted_by_kind(tmp_path: Path, alice: Telephone) -> None:
    world = World(tmp_path)
    good = alice.request("OPTIONS", "sip:example.com")
    refused = world.deliver(good.replace(b"CSeq: 1", b"CSeq: x"), ALICE)
    assert refused[0].data.startswith(b"SIP/2.0 400 CSeq: ")
    assert not world.deliver(b"SIP/2.0 200 OK\r\nCSeq: x\r\n\r\n", ALICE)
    names = (
        "core:bad_msg_hdr",
        "core:err_requests",
        "core:err_replies",
        "sl:sent_err_replies",
        "sl:4xx_replies",
        "sipherd:dropped_malformed",
    )
    assert counted(world, *names) == [2, 1, 1, 1, 1, 1]


def test_malformed_uris_are_counted(tmp_path: Path, alice: Telephone) -> None:
    world = World(tmp_path)
    sent = world.deliver(alice.request("OPTIONS", "sip:a@b@example.com"), ALICE)
    assert [one.message.status for one in sent] == [400]
    assert counted(world, "core:bad_URIs_rcvd") == [1]


def test_timer_c_is_a_timeout_of_an_invite(tmp_path: Path, alice: Telephone) -> None:
    world = World(tmp_path)
    bob = Telephone("bob", address("192.0.2.2:5060"))
    world.deliver(bob.register(), bob.at)
    ringing = world.deliver(alice.request("INVITE", "sip:bob@example.com"), ALICE)
    bob.received = [one.message for one in ringing if one.to == bob.at]
    world.deliver(bob.reply(180, "INVITE"), bob.at)
    world.wait(200)
    assert counted(world, "sipherd:timer_c_fired", "tm:timeout_finalresponse_inv") == [1, 1]


def test_of_too_many_targets_the_best_are_tried(tmp_path: Path, alice: Telephone) -> None:
    world = World(tmp_path, max_contacts=32)
    bob = Telephone("bob", address("192.0.2.2:5060"))
    for number in range(bounds.BRANCHES + 3):
        q = 1 if number == 14 else 0.5 if number % 4 else 0.2
        contact = f"<sip:bob@192.0.2.{number + 50}>;q={q}"
        world.deliver(bob.register(contact=contact, call_id=f"c{number}"), bob.at)
    assert len(contacts(world)) == bounds.BRANCHES + 3
    tried = []
    sent = world.deliver(alice.request("MESSAGE", "sip:bob@example.com"), ALICE)
    while len(tried) < bounds.BRANCHES:
        assert sent
        tried += [one.message.request_uri for one in sent if one.message.is_request]
        sent = [
            answer
            for one in sent
            for answer in world.deliver(failure(one), one.to)
            if one.message.is_request
        ]
    assert [one.message.status for one in sent] == [480]
    assert tried[0] == b"sip:bob@192.0.2.64"
    low = [b"sip:bob@192.0.2.%d" % (number + 50) for number in (0, 4, 8, 12)]
    assert [uri for uri in low if uri in tried] == low[:1]


def contacts(world: World) -> list[Target]:
    return lookup(world.location, b"bob@example.com", "MESSAGE", 0)


def failure(sent: Sent) -> bytes:
    return response(sent.message, 480, b"Away", b"tag")


@pytest.mark.parametrize("method", ["MESSAGE", "INVITE"])
def test_a_name_that_is_not_found_after_the_policy_has_gone(
    method: str, tmp_path: Path, alice: Telephone
) -> None:
    """The resolver's callback alone holds what it answers to."""

    async def policy(request: Request) -> None:
        request.relay([target_for(b"sip:x@gw.example.net:5060")])

    world = World(tmp_path, policy=policy)
    world.dns_waits = True
    world.deliver(alice.request(method, "sip:x@example.com"), ALICE)
    world.answer_dns()
    assert [one.message.status for one in world.collect()] == [500]
