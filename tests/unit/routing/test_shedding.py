"""An overloaded core: who gets 503, who gets nothing, and who never notices."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.limits.overload import (
    ESTABLISHED,
    INVITE,
    OPTIONS,
    OTHER,
    REFRESH,
    REGISTER,
    OverloadRules,
)
from proxy.routing.shedding import kind_of
from proxy.sip.message import parse
from tests.scenarios.telephone import Telephone
from tests.scenarios.world import World, address
from tests.unit.routing.authenticating import PHONE, GuardedWorld, Phone

ALICE = address("192.0.2.1:5060")
BOB = address("192.0.2.2:5060")
KINDS = (OPTIONS, REGISTER, INVITE, OTHER, REFRESH)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def alice() -> Telephone:
    return Telephone("alice", ALICE)


@pytest.fixture
def bob() -> Telephone:
    return Telephone("bob", BOB)


def press(world: World, refreshes: bool = True) -> None:
    """Put a world under so much pressure that all new work has to go, or all but refreshes."""
    shedder = world.node.shedder
    shedder.use_rules(OverloadRules(target=0.0))
    shedder.pressure = (1.0 if refreshes else 0.5) / 0.93  # it eases off, as no queue is left
    for _ in range(100):
        for kind in KINDS:
            shedder.verdict(kind, 0xFFFFFFFF)
        for _ in range(11):  # as much work as all others are together
            shedder.verdict(REFRESH, 0xFFFFFFFF)
    shedder.turned_away = 0
    shedder.observe(0.0, 0.0, world.now)
    assert shedder.threshold(INVITE) == 65_536
    assert shedder.threshold(REFRESH) == (65_536 if refreshes else 0)


def relieve(world: World) -> None:
    world.node.shedder.active = False


def lines(world: World, phone: Telephone, data: bytes) -> list[str]:
    return [one.line for one in world.deliver(data, phone.at)]


def test_new_work_is_refused_with_a_time_to_come_back(world: World, alice: Telephone) -> None:
    press(world)
    seen = set()
    for _ in range(20):
        [answer] = world.deliver(alice.request("OPTIONS", "sip:example.com"), ALICE)
        assert answer.line == "503 Service Unavailable"
        assert answer.to == ALICE
        seen.add(int(answer.header("Retry-After") or ""))
    assert 10 <= min(seen) < max(seen) <= 20
    assert world.count("sipherd:shed_options") == world.count("sipherd:shed_answered") == 20
    assert world.left() == (0, 0, 0)


def test_each_kind_is_counted(world: World, alice: Telephone) -> None:
    world.deliver(alice.register(), ALICE)
    press(world)
    bob = Telephone("bob", BOB)
    for data in (
        alice.register(),
        bob.register(),
        bob.request("INVITE", "sip:alice@example.com"),
        bob.request("MESSAGE", "sip:alice@example.com"),
        bob.request("OPTIONS", "sip:example.com"),
    ):
        [answer] = world.deliver(data, ALICE)
        assert answer.line.startswith("503")
    for name in ("refreshes", "registers", "invites", "others", "options"):
        assert world.count(f"sipherd:shed_{name}") == 1


def test_a_call_that_has_begun_never_notices(
    world: World, alice: Telephone, bob: Telephone
) -> None:
    world.deliver(bob.register(), BOB)
    invite = alice.request("INVITE", "sip:bob@example.com")
    trying, forwarded = world.deliver(invite, ALICE)
    press(world)
    assert lines(world, alice, invite) == [trying.line]  # what is sent again is not new
    bob.received.append(forwarded.message)
    [ringing] = world.deliver(bob.reply(180, "INVITE"), BOB)
    assert ringing.line.startswith("180")
    [answered] = world.deliver(bob.reply(200, "INVITE"), BOB)
    assert answered.line.startswith("200")
    [ack] = world.deliver(alice.ack(answered.message), ALICE)
    assert ack.line.startswith("ACK")
    [bye] = world.deliver(alice.in_dialog("BYE"), ALICE)
    assert bye.line.startswith("BYE")
    assert world.count("sipherd:shed_answered") == 0


def test_a_cancel_is_served(world: World, alice: Telephone, bob: Telephone) -> None:
    world.deliver(bob.register(), BOB)
    world.deliver(alice.request("INVITE", "sip:bob@example.com"), ALICE)
    press(world)
    assert "200 OK" in lines(world, alice, alice.cancel())


def test_registered_phones_outrank_strangers(
    world: World, alice: Telephone, bob: Telephone
) -> None:
    world.deliver(alice.register(), ALICE)
    press(world, refreshes=False)
    assert lines(world, alice, alice.register()) == ["200 OK"]
    assert lines(world, bob, bob.register()) == ["503 Service Unavailable"]
    assert lines(world, bob, bob.request("INVITE", "sip:alice@example.com"))[0].startswith("503")


def test_what_is_late_is_dropped(world: World, alice: Telephone) -> None:
    shedder = world.node.shedder
    shedder.active = True
    shedder.late_before_ns = shedder.aged_before_ns = 5_000
    data = alice.request("OPTIONS", "sip:example.com")
    world.core.receive_batch([(0, ALICE.sockaddr, 4_999, data), (0, ALICE.sockaddr, 5_000, data)])
    assert [one.line for one in world.collect()] == ["200 OK"]
    assert world.count("sipherd:shed_late") == 1
    world.core.receive_batch([(0, ALICE.sockaddr, 0, data)])  # nobody knows when it came
    assert len(world.collect()) == 1


def test_all_is_well_again_afterwards(world: World, alice: Telephone) -> None:
    press(world)
    assert lines(world, alice, alice.register()) == ["503 Service Unavailable"]
    relieve(world)
    assert lines(world, alice, alice.register()) == ["200 OK"]


@pytest.mark.parametrize(
    ("method", "kind"),
    [
        ("INVITE", INVITE),
        ("OPTIONS", OPTIONS),
        ("MESSAGE", OTHER),
        ("SUBSCRIBE", OTHER),
        ("PUBLISH", OTHER),
        ("NOTIFY", OTHER),
        ("FOO", OTHER),
        ("BYE", ESTABLISHED),
        ("PRACK", ESTABLISHED),
        ("UPDATE", ESTABLISHED),
        ("REGISTER", REGISTER),
    ],
)
def test_kinds(world: World, alice: Telephone, method: str, kind: int) -> None:
    new = parse(alice.request(method, "sip:example.com"))
    assert kind_of(world.node, new, ALICE) == kind
    within = parse(alice.request(method, "sip:example.com", to="<sip:b@example.com>;tag=x"))
    expected = REGISTER if method == "REGISTER" else ESTABLISHED  # which is in no dialog
    assert kind_of(world.node, within, ALICE) == expected


def test_a_phone_that_was_challenged_outranks_one_that_was_not(tmp_path: Path) -> None:
    here = GuardedWorld(tmp_path)
    phone = Phone(here, b"alice", b"wonderland")
    given = phone.asked()[0]
    answering = phone.answering(given)

    def kind(headers: bytes) -> int:
        return kind_of(here.node, parse(phone.text(b"REGISTER", headers)), PHONE)

    assert kind(b"") == REGISTER
    assert kind(answering) == REFRESH
    assert kind(answering.replace(given.nonce, b"0" * len(given.nonce))) == REGISTER
    assert kind(b"Authorization: Digest nonsense\r\n") == REGISTER
    here.wait(301)
    assert kind(answering) == REGISTER, "its nonce is too old"
