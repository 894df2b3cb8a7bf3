"""Look-ups of policies: bounded, answered once, and never an exception for a network's sake."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.limits import bounds
from proxy.routing.request import Request
from proxy.routing.web import (
    ANSWERED,
    FAILURES,
    TOO_LARGE,
    HttpAnswer,
    HttpQuestion,
    Lookups,
    check_question,
    encode_answer,
)
from tests.scenarios.world import World, address

PHONE = address("192.0.2.1:5060")
URL = "http://192.0.2.80/route?to=bob"
INVITE = (
    b"INVITE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1\r\n"
    b"From: <sip:alice@example.com>;tag=1\r\nTo: <sip:bob@example.com>\r\nCall-ID: 1\r\n"
    b"CSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"
)


class Asking:
    """A world whose policy asks, and the questions it has put into the ring."""

    def __init__(self, folder: Path, has_room: bool = True) -> None:
        self.answers: list[HttpAnswer] = []
        self.questions: list[HttpQuestion] = []
        self.world = World(folder, policy=self.policy)
        node = self.world.node
        self.lookups = Lookups(3, 7 << 32, self.take, node.pendings, node.counters)
        node.lookups = self.lookups
        self.has_room = has_room

    def take(self, data: bytes) -> bool:
        self.questions.append(HttpQuestion.decode(data))
        return self.has_room

    async def policy(self, request: Request) -> None:
        self.answers.append(await request.http_get(URL, timeout=0.5))
        request.reply(486)


def test_a_question_becomes_an_answer(tmp_path: Path) -> None:
    asking = Asking(tmp_path)
    asking.world.deliver(INVITE, PHONE)
    (question,) = asking.questions
    assert question == HttpQuestion((7 << 32) + 1, 3, 500, URL)
    asking.lookups.answered(encode_answer(question.number + 1, 200, ANSWERED, b"not ours"))
    assert asking.answers == []
    for body in (b'{"x": 1}', b"again"):
        asking.lookups.answered(encode_answer(question.number, 200, ANSWERED, body))
    (answer,) = asking.answers
    assert (answer.ok, answer.json(), answer.failure) == (True, {"x": 1}, "")
    assert [sent.line for sent in asking.world.collect()] == ["486 Busy Here"]
    assert (asking.lookups.open, asking.world.node.pendings.open) == ({}, 0)
    assert asking.world.count("sipherd:lookups") == 1
    assert asking.world.count("sipherd:lookup_failures") == 0


def test_what_is_not_answered_in_time_is_forgotten(tmp_path: Path) -> None:
    asking = Asking(tmp_path)
    asking.world.deliver(INVITE, PHONE)
    asking.world.wait(0.4)
    assert asking.answers == []
    asking.world.wait(0.2)
    assert asking.answers == [HttpAnswer(failure="no answer in time")]
    assert asking.lookups.open == {}
    assert asking.world.count("sipherd:lookup_failures") == 1
    asking.lookups.answered(encode_answer(asking.questions[0].number, 200, ANSWERED))


def test_a_full_ring_fails_at_once(tmp_path: Path) -> None:
    asking = Asking(tmp_path, has_room=False)
    asking.world.deliver(INVITE, PHONE)
    assert asking.answers == [HttpAnswer(failure="too many questions are open")]
    assert (asking.lookups.open, asking.world.node.pendings.open) == ({}, 0)


def test_a_failure_is_said_in_words(tmp_path: Path) -> None:
    asking = Asking(tmp_path)
    asking.world.deliver(INVITE, PHONE)
    asking.lookups.answered(encode_answer(asking.questions[0].number, 0, TOO_LARGE))
    (answer,) = asking.answers
    assert (answer.ok, answer.failure) == (False, FAILURES[TOO_LARGE])
    assert answer.json("nothing") == "nothing"


def test_questions_survive_the_ring() -> None:
    for question in (
        HttpQuestion(1, 2, 3, URL),
        HttpQuestion(2**64 - 1, 63, 2**32 - 1, URL, "text/plain", b""),
        HttpQuestion(1, 2, 3, URL, "application/json", b"\0\xff" * 100),
    ):
        assert HttpQuestion.decode(question.encode()) == question


@pytest.mark.parametrize(
    ("url", "body", "kind"),
    [
        ("ftp://x/", None, ""),
        ("http://x/ y", None, ""),
        ("http://x/\r\nHost: y", None, ""),
        ("http://x/" + "y" * bounds.URI_BYTES, None, ""),
        ("http://x/", b"x" * (bounds.HTTP_QUESTION_BYTES + 1), "text/plain"),
        ("http://x/", b"", "text/plain\r\nX: y"),
        ("http://ü/", None, ""),
    ],
)
def test_what_is_no_question_is_the_policys_mistake(
    url: str, body: bytes | None, kind: str
) -> None:
    with pytest.raises(ValueError, match=r"no http|at most|content type"):
        check_question(url, body, kind)
