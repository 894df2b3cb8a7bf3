"""What a worker asks the storage process, when the way there is full."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from proxy.constants import INTERNAL_LISTENER
from proxy.routing.pending import LATE, Pending
from proxy.shm.inbox import FULL
from proxy.storage.kinds import Kind, Part, Status, decode_question, encode_part
from tests.scenarios.world import World
from workers.child import Child
from workers.questions import KEPT_SECONDS, Answer, Questions
from workers.settings import Config, Node


@pytest.fixture
def config(tmp_path: Path) -> Config:
    node = Node(domains=("example.com",), runtime_dir=tmp_path)
    storage = {"urls": [f"sqlite:///{tmp_path}/x.db"], "wait_seconds": 1.0}
    return Config.model_validate({"node": node, "storage": storage})


def test_a_question_that_finds_no_way_is_asked_again(child: Child, tmp_path: Path) -> None:
    (tmp_path / "world").mkdir()
    world = World(tmp_path / "world")
    child.reader_eventfds = [os.eventfd(0, os.EFD_NONBLOCK)]
    ring = child.tables.questions
    while ring.push(INTERNAL_LISTENER, b"", 0, b"x" * 1_000) != FULL:
        pass
    questions = Questions(child, world.node)
    first, second = Pending(), Pending()
    questions.ask(Kind.DOMAINS, [], first)
    world.wait(0.5)
    assert not first.done
    ring.pop(100_000)
    world.wait(0.2)
    (asked,) = [decode_question(data) for *_, data in ring.pop(10)]
    assert (asked.kind, asked.number) == (Kind.DOMAINS, 1)
    while ring.push(INTERNAL_LISTENER, b"", 0, b"x" * 1_000) != FULL:
        pass
    questions.ask(Kind.DOMAINS, [], second)
    world.wait(1.2)
    assert second.result is LATE
    ring.pop(100_000)
    world.wait(1)
    assert ring.empty, "nobody waits for it any more"
    os.close(child.reader_eventfds[0])


class Noting(Pending):
    """What it was finished with, each time."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[object] = []

    def finish(self, result: object) -> None:
        self.heard.append(result)
        super().finish(result)


def test_a_late_answer_is_handed_on_but_not_waited_for_for_ever(
    child: Child, tmp_path: Path
) -> None:
    (tmp_path / "world").mkdir()
    world = World(tmp_path / "world")
    child.reader_eventfds = [os.eventfd(0, os.EFD_NONBLOCK)]
    questions = Questions(child, world.node)
    late, never = Noting(), Noting()
    for pending in (late, never):
        questions.ask(Kind.SUBSCRIBER, [b"alice", b"example.com"], pending)
    world.wait(1.2)
    assert late.heard == never.heard == [LATE]
    questions.receive(encode_part(Part(1, Status.ANSWERED, False, [[b"row"]])))
    assert late.heard == [LATE, Answer(Status.ANSWERED, [[b"row"]])]
    assert list(questions.open) == [2]
    world.wait(KEPT_SECONDS)
    questions.ask(Kind.SUBSCRIBER, [b"bob", b"example.com"], Pending())
    assert list(questions.open) == [3]
    os.close(child.reader_eventfds[0])
