"""A fork under any order of events ends once, answers once, and leaves nothing (RFC 3261 §16.7)."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.routing.best_response import best
from tests.scenarios.flow import Flow

PHONES = ("bob", "bob2", "bob3")
STATUSES = (100, 180, 183, 200, 302, 401, 404, 408, 480, 486, 487, 500, 503, 603)

step = st.one_of(
    st.tuples(st.sampled_from(PHONES), st.sampled_from(STATUSES)),
    st.tuples(st.just("wait"), st.sampled_from([1, 5, 33, 200])),
    st.tuples(st.just("cancel"), st.just(0)),
    st.tuples(st.just("again"), st.just(0)),
)


def ringing(tmp_path: Path, queue: tuple[str, ...], method: str = "INVITE") -> Flow:
    flow = Flow(tmp_path)
    flow.registered("alice", "192.0.2.1:5060")
    for number, (name, q) in enumerate(zip(PHONES, queue, strict=True)):
        flow.registered(name, f"192.0.2.{number + 2}:5060", user="bob", q=q)
    for phone in flow.phones.values():
        phone.received.clear()
    flow.request("alice", method, "sip:bob@example.com")
    return flow


def play_steps(flow: Flow, steps: list[tuple[str, int]], method: str) -> None:
    for who, what in steps:
        if who == "wait":
            flow.wait(str(what))
        elif who == "again":
            if flow.world.layer.servers:  # or it would be a new request
                flow.again("alice", method)
        elif who == "cancel":
            if method == "INVITE":
                flow.cancel("alice")
        elif is_called(flow, who, method):
            flow.reply(who, str(what), method)


def is_called(flow: Flow, who: str, method: str) -> bool:
    """Whether a branch to a telephone is alive: later answers are forwarded without state (R4)."""
    requests = [one for one in flow.phones[who].received if one.is_request]
    return any(flow.world.layer.client_of(one.branch, method) for one in requests)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None
)
@given(
    steps=st.lists(step, max_size=14),
    queue=st.sampled_from([("1.0", "1.0", "1.0"), ("0.9", "0.5", "0.1"), ("0.9", "0.9", "0.1")]),
    method=st.sampled_from(["INVITE", "INVITE", "MESSAGE"]),
)
def test_whatever_happens_the_caller_gets_one_answer(
    tmp_path_factory: pytest.TempPathFactory,
    steps: list[tuple[str, int]],
    queue: tuple[str, ...],
    method: str,
) -> None:
    flow = ringing(tmp_path_factory.mktemp("fork"), queue, method)
    play_steps(flow, steps, method)
    flow.wait("1000")
    finals = [
        message
        for message in flow.phones["alice"].received
        if not message.is_request and message.status >= 200 and message.cseq_method == method
    ]
    kinds = {message.status for message in finals}
    successes = {message.to_tag for message in finals if message.status == 200}
    failures = {message.data for message in finals if message.status != 200}
    assert len(failures) <= 1, kinds
    if method == "INVITE":
        assert finals
        assert len(successes) <= len(PHONES)
    else:
        assert len(finals) <= 1 + steps.count(("again", 0))
        assert 408 not in kinds
        assert not any(100 < one.status < 200 for one in flow.phones["alice"].received)
    assert 503 not in kinds
    assert flow.world.left() == (0, 0, 0)


@given(st.lists(st.sampled_from(STATUSES[3:]), min_size=1, max_size=6))
def test_the_best_response_follows_the_order_of_classes(statuses: list[int]) -> None:
    chosen = statuses[best(statuses)]
    if any(status >= 600 for status in statuses) and 200 not in statuses:
        assert chosen >= 600
    elif 200 in statuses:
        assert chosen == 200
    else:
        assert chosen // 100 == min(status // 100 for status in statuses)
        assert chosen not in (408, 503) or {
            status for status in statuses if status // 100 == chosen // 100
        } == {chosen}


def test_the_messages_of_failures_are_not_kept_for_timer_c(tmp_path: Path) -> None:
    flow = ringing(tmp_path, ("1.0", "1.0", "1.0"))
    servers = flow.world.layer.servers.of("INVITE")
    request = servers[0].user
    context = request.context  # type: ignore[union-attr]
    for phone in PHONES:
        flow.reply(phone, "486")
    assert [branch.status for branch in context.branches] == [486] * 3
    assert [branch.response for branch in context.branches] == [None] * 3
    assert {branch.datagram for branch in context.branches} == {b""}
    assert [branch.context for branch in context.branches] == [None] * 3


def test_many_unusable_targets_are_one_failure(tmp_path: Path) -> None:
    flow = Flow(tmp_path)
    flow.registered("alice", "192.0.2.1:5060")
    for number in range(9):
        contact = f"<sip:bob@no{number}.example.net>;q=0.{number}"
        flow.phone("bob", "192.0.2.2:5060")
        flow.register("bob", contact=contact, call_id=f"reg-{number}")
    output = flow.invite("alice", "bob")
    assert output == [
        "alice <- 100 Trying (INVITE)",
        "alice <- 500 Server Internal Error (INVITE)",
    ]
