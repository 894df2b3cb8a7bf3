"""The process that asks web servers for the workers' policies (`request.http_get`).

It may be slow, hang in a name server or be killed: a worker waits for none of that, and its policy
for no longer than it said.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from proxy.routing.web import (
    ANSWERED,
    TOO_LARGE,
    TOO_LATE,
    TOO_MANY,
    UNREACHABLE,
    HttpQuestion,
    encode_answer,
)
from workers.child import Child
from workers.errands import Deliveries, Errand
from workers.mailbox import Mailbox

if TYPE_CHECKING:
    from aiohttp import ClientSession

BATCH: Final = 64
TURN_S: Final = 0.2  # between two heartbeats; a question whose wake-up got lost is found then
REDIRECTS: Final = 3
REPEAT_S: Final = 0.005  # between two tries to give an answer to a worker that is busy
AGENT: Final = "sipherd"


def run(child: Child) -> int:
    """Ask until told to stop."""
    assert child.lookups is not None
    return asyncio.run(Asker(child, child.lookups).serve())


class Asker:
    """Takes questions out of the mailbox and answers each by an errand."""

    def __init__(self, child: Child, mailbox: Mailbox) -> None:
        self.child = child
        self.mailbox = mailbox
        self.settings = child.config.lookups
        self.deliveries = Deliveries(child)
        self.repeating = False
        self.tasks: set[asyncio.Task[None]] = set()
        self.ended = asyncio.Event()
        self.session: ClientSession | None = None

    async def serve(self) -> int:
        """The loop: events from the mailbox, and a heartbeat."""
        import aiohttp

        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self.child.log.callback_failed)
        for fd in (self.child.stop_fd, self.child.parent_fd):
            loop.add_reader(fd, self.ended.set)
        loop.add_reader(self.mailbox.eventfd, self.take)
        connector = aiohttp.TCPConnector(limit=self.settings.at_once)
        headers = {"User-Agent": AGENT, "Accept-Encoding": "identity"}
        async with aiohttp.ClientSession(
            connector=connector, headers=headers, auto_decompress=False, trust_env=False
        ) as session:
            self.session = session
            while not self.ended.is_set():
                self.child.beat()
                self.take()
                try:
                    await asyncio.wait_for(self.ended.wait(), TURN_S)
                except TimeoutError:
                    continue
            for task in self.tasks:
                task.cancel()
            await asyncio.gather(*self.tasks, return_exceptions=True)
        return 0

    def take(self) -> None:
        """Begin with every question that is there."""
        while True:
            for data in self.mailbox.take(BATCH):
                self.begin(HttpQuestion.decode(data))
            if self.mailbox.may_sleep():
                return

    def begin(self, question: HttpQuestion) -> None:
        """Ask, or refuse when too many are being asked."""
        if self.session is None or len(self.tasks) >= self.settings.at_once:
            self.answer(question, 0, TOO_MANY)
            return
        task = asyncio.create_task(self.ask(question, self.session))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def ask(self, question: HttpQuestion, session: ClientSession) -> None:
        """One look-up, from the name of the server to the last byte within its time."""
        from aiohttp import ClientError

        try:
            async with asyncio.timeout(question.milliseconds / 1_000):
                status, body = await self.fetch(question, session)
        except TimeoutError:
            self.answer(question, 0, TOO_LATE)
        except (ClientError, OSError, ValueError) as error:
            self.answer(question, 0, UNREACHABLE)
            self.child.log.debug(
                "look-up failed", host=host_of(question.url), error=type(error).__name__
            )
        else:
            if len(body) > self.settings.answer_bytes:
                self.answer(question, 0, TOO_LARGE)
            else:
                self.answer(question, status, ANSWERED, body)

    async def fetch(self, question: HttpQuestion, session: ClientSession) -> tuple[int, bytes]:
        """Status and body; of one that is too large a byte too much."""
        method = "GET" if question.body is None else "POST"
        headers = {"Content-Type": question.content_type} if question.body is not None else {}
        limit = self.settings.answer_bytes + 1
        async with session.request(
            method, question.url, data=question.body, headers=headers, max_redirects=REDIRECTS
        ) as response:
            body = bytearray()
            while len(body) < limit:
                piece = await response.content.read(limit - len(body))
                if not piece:
                    break
                body += piece
            return response.status, bytes(body)

    def answer(self, question: HttpQuestion, status: int, failure: int, body: bytes = b"") -> None:
        """Tell the worker; again while its inbox is full or busy, until its own clock is over."""
        data = encode_answer(question.number, status, failure, body)
        self.deliveries.send(question.worker, Errand.HTTP_ANSWER, data)
        if self.deliveries.kept and not self.repeating:
            self.repeat()

    def repeat(self) -> None:
        """Deliver what could not be, and come back while there is more."""
        self.deliveries.repeat(time.monotonic())
        self.repeating = len(self.deliveries.kept) > 0
        if self.repeating:
            asyncio.get_running_loop().call_later(REPEAT_S, self.repeat)


def host_of(url: str) -> str | None:
    """The host that a URL names: the rest may hold what is nobody's business."""
    try:
        return urlsplit(url).hostname
    except ValueError:  # it is no URL, and that may be why the look-up failed
        return None
