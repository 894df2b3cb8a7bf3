"""Workers run without garbage collection: a call that has ended leaves nothing behind."""

from __future__ import annotations

import gc
import random
from pathlib import Path

import pytest

from tests.scenarios.flow import Flow, play
from tests.scenarios.test_scenarios import FILES
from tests.scenarios.world import World
from workers.policy_kit import PolicyKit

OURS = ("proxy.", "sipherd_routing", "tests.scenarios.policies")


def ours_in_garbage() -> list[str]:
    """What of ours only the collector could free; and frees it."""
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        gc.collect()
        found = [
            f"{type(thing).__module__}.{type(thing).__qualname__}"
            for thing in gc.garbage
            if type(thing).__module__.startswith(OURS) or type(thing).__name__ == "coroutine"
        ]
    finally:
        gc.garbage.clear()
        gc.set_debug(0)
        gc.collect()
    return found


@pytest.fixture(autouse=True)
def _without_collector():  # type: ignore[no-untyped-def]
    gc.collect()
    gc.freeze()  # what was there before is not looked at: a collection is quick
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_scenario_leaves_no_cycle(path: Path, tmp_path: Path) -> None:
    flow = Flow(tmp_path)
    play(path, flow)
    flow.world.wait(400)
    flow.world.layer.outbox.clear()
    assert ours_in_garbage() == []


class Caller:
    """Makes calls of every kind at random, with loss, repetition and disorder on the way."""

    def __init__(self, flow: Flow, seed: int) -> None:
        self.flow = flow
        self.random = random.Random(seed)

    def act(self, *words: str, **options: str) -> None:
        """One command of a scenario; what makes no sense just now is left out."""
        try:
            self.flow.verbs[words[0]](*words[1:], **options)
        except LookupError:
            return
        if self.random.random() < 0.2:
            self.flow.again(words[1])
        if self.random.random() < 0.1:
            self.flow.wait(str(self.random.choice((0.5, 2, 33))))

    def call(self) -> None:
        """One call, or what becomes of it."""
        draw = self.random
        kind = draw.choice(("INVITE", "INVITE", "INVITE", "MESSAGE", "OPTIONS"))
        user = draw.choice(("bob", "dave", "nobody"))
        where = draw.choice((f"sip:{user}@example.com", "sip:x@gw.example.net", "sip:x@no.example"))
        for phone in self.flow.phones.values():
            phone.call_id = ""
        self.act("request", "alice", kind, where)
        phones = draw.sample(("bob", "bob2", "bob3", "dave", "gw1", "gw2"), 6)
        for phone in phones:
            for status in draw.sample(("100", "180", "200", "302", "401", "486", "503", "603"), 2):
                self.act("reply", phone, status, kind)
        if draw.random() < 0.4 and self.flow.phones["alice"].invite is not None:
            self.act("cancel", "alice")
            for phone in phones:
                self.act("reply", phone, "200", "CANCEL")
                self.act("reply", phone, "487")
        if draw.random() < 0.1:
            self.flow.forget()
        if kind == "INVITE":
            self.act("ack", "alice")
        if draw.random() < 0.5 and self.flow.phones["alice"].call_id:
            self.act("bye", "alice")
            self.act("reply", phones[0], "200", "BYE")
        for phone in self.flow.phones.values():
            phone.received.clear()
            phone.history.clear()


@pytest.mark.parametrize(
    "policy", ["", "voicemail", "excuse", "same_again", "record_all", "impatient"]
)
def test_varied_calls_leave_nothing(policy: str, tmp_path: Path) -> None:
    flow = Flow(tmp_path)
    options = {"policy": policy} if policy else {}
    flow.make_world(names="gw.example.net:192.0.2.11:5060+192.0.2.12:5060", **options)
    for number, name in enumerate(("alice", "bob", "bob2", "bob3", "dave")):
        user = name.rstrip("23")
        flow.registered(name, f"192.0.2.{number + 1}:5060", user=user, q=f"0.{9 - number // 2}")
    flow.phone("gw1", "192.0.2.11:5060")
    flow.phone("gw2", "192.0.2.12:5060")
    caller = Caller(flow, seed=len(policy))
    for _ in range(100):
        caller.call()
    flow.wait("400")
    assert flow.world.left() == (0, 0, 0)
    assert flow.world.layer.outbox == []
    assert not [event for event in flow.world.log.events if event[0] == "error"]
    assert ours_in_garbage() == []


def test_the_check_sees_a_cycle(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.node.resolve = world.node  # a node that holds itself
    del world
    assert "proxy.routing.node.Node" in ours_in_garbage()


def test_a_handler_of_replies_leaves_nothing(tmp_path: Path) -> None:
    script = tmp_path / "routing.py"
    script.write_text(
        "async def on_request(request):\n"
        "    request.values['self'] = 1\n"
        "    await request.relay(request.lookup(), timeout=30)\n\n"
        "def on_reply(request, reply):\n"
        "    reply.add_header(b'X-Seen', b'%d' % request.values['self'])\n"
    )
    kit = PolicyKit(script)
    for status in (200, 486, 503, 180):
        kit.register("sip:bob@example.com", "sip:bob@192.0.2.2:5060")
        _, invite = kit.request("INVITE", "sip:bob@example.com")
        kit.answer(invite, 180)
        kit.answer(invite, status)
        kit.answer(invite, status)
        kit.advance(400)
    assert kit.world.left() == (0, 0, 0)
    assert kit.log == []
    assert ours_in_garbage() == []
