"""Pipes as a policy uses them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.limits import counters as ids
from proxy.limits.algorithms import SBT
from proxy.routing.ratelimit import Declared
from proxy.routing.request import Request
from proxy.shm import pipe_view
from tests.scenarios.telephone import Telephone
from tests.scenarios.world import World, address


def world_of(folder: Path, ask: Callable[[Request], bool]) -> World:
    """A node that answers 200 to what its pipe lets pass, and 503 to the rest."""

    async def on_request(request: Request) -> None:
        request.reply(200 if ask(request) else 503)

    return World(folder, policy=on_request)


def statuses(world: World, count: int) -> list[int]:
    phone = Telephone("alice", address("192.0.2.1:5060"))
    answers = []
    for _ in range(count):
        (sent,) = world.deliver(phone.request("OPTIONS", "sip:b@example.com"), phone.at)
        answers.append(sent.message.status)
    return answers


def test_a_pipe_lets_as_many_pass_as_it_may(tmp_path: Path) -> None:
    world = world_of(tmp_path, lambda request: request.pipe("trunk", 2, "SBT"))
    assert statuses(world, 4) == [200, 200, 503, 503]
    assert world.counters.get(ids.PIPE_REFUSALS) == 2
    world.now += 10.0
    world.tell_time()
    assert statuses(world, 3) == [200, 200, 503]


def test_a_declared_pipe_needs_only_its_name(tmp_path: Path) -> None:
    world = world_of(tmp_path, lambda request: request.pipe("trunk"))
    world.declared["trunk"] = Declared(1, SBT)
    assert statuses(world, 2) == [200, 503]
    world.declared["trunk"] = Declared(3, SBT)
    assert statuses(world, 3) == [200, 200, 503]


def test_counts_outlive_a_worker(tmp_path: Path) -> None:
    world = world_of(tmp_path, lambda request: request.pipe("trunk", 2, "SBT"))
    assert statuses(world, 1) == [200]
    world.start_worker()
    assert statuses(world, 2) == [200, 503]


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda request: request.pipe("new"), "not declared"),
        (lambda request: request.pipe("new", -1), "a limit is"),
        (lambda request: request.pipe("new", 2**31), "a limit is"),
        (lambda request: request.pipe("new", 1, "LEAKY"), "no algorithm LEAKY"),
    ],
)
def test_a_mistake_of_the_policy_is_answered_500(
    ask: Callable[[Request], bool], said: str, tmp_path: Path
) -> None:
    told: list[str] = []

    def asked(request: Request) -> bool:
        try:
            return ask(request)
        except ValueError as error:
            told.append(str(error))
            raise

    world = world_of(tmp_path, asked)
    assert statuses(world, 1) == [500]
    assert said in told[0]
    assert world.counters.get(ids.POLICY_ERRORS) == 1
    assert world.pipes.count == 0


def test_a_name_may_be_made_of_any_bytes_and_of_any_length(tmp_path: Path) -> None:
    name = b"caller:\xff\x00".decode("utf-8", "surrogateescape") + "x" * 5_000
    world = world_of(tmp_path, lambda request: request.pipe(name, 1, "SBT"))
    assert statuses(world, 2) == [200, 503]


def test_no_room_for_one_more_pipe_refuses_and_is_counted(tmp_path: Path) -> None:
    world = world_of(tmp_path, lambda request: request.pipe("new", 5, "SBT"))
    for number in range(world.pipes.capacity):
        assert pipe_view.declare(world.pipes, b"%d" % number, 1, SBT, 0)
    assert statuses(world, 2) == [503, 503]
    assert world.counters.get(ids.PIPES_FULL) == 2
    assert world.counters.get(ids.PIPE_REFUSALS) == 0
