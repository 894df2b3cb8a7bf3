"""The process that asks web servers: its answers reach a worker that is busy."""

from __future__ import annotations

import asyncio

from proxy.routing.web import ANSWERED, HttpQuestion, encode_answer
from workers.child import Child
from workers.errands import Errand, send_errand
from workers.lookups import Asker
from workers.mailbox import Mailbox


def test_an_answer_that_finds_a_full_inbox_comes_later(child: Child) -> None:
    inbox = child.tables.inbox(0)
    asker = Asker(child, Mailbox.open(4_096))
    while send_errand(child, 0, 1, b"x" * 60_000):
        pass

    async def play() -> None:
        for number in (1, 2):
            body = b"x" * 60_000
            asker.answer(HttpQuestion(number, 0, 1_000, "http://h/"), 200, ANSWERED, body)
        assert len(asker.deliveries.kept) == 2
        inbox.pop(1_000)
        while asker.repeating:
            await asyncio.sleep(0)

    asyncio.run(play())
    kind = bytes([Errand.HTTP_ANSWER])
    expected = [kind + encode_answer(n, 200, ANSWERED, b"x" * 60_000) for n in (1, 2)]
    assert [data for *_, data in inbox.pop(10)] == expected
