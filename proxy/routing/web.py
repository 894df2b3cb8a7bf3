"""HTTP look-ups of policies: asked of the process `lookups`, bounded in number, size and time.

A worker opens no connection. It puts the question into the ring of that process and goes on; the
answer comes as an errand. What cannot be asked or is not answered is an `HttpAnswer` with a
`failure`, never an exception: what a call does without its look-up is for the policy to say.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from struct import Struct
from typing import Any, Final, Protocol

import orjson

from proxy.limits.bounds import HTTP_QUESTION_BYTES, URI_BYTES
from proxy.limits.counters import LOOKUP_FAILURES, LOOKUPS
from proxy.routing.pending import LATE, Pending, Pendings
from proxy.shm.slots import Counters

FAILURES: Final = (
    "",
    "no answer in time",
    "no connection",
    "the answer is too large",
    "too many questions are open",
    "[lookups] enabled is false",
)
ANSWERED, TOO_LATE, UNREACHABLE, TOO_LARGE, TOO_MANY, DISABLED = range(len(FAILURES))

_QUESTION: Final = Struct("<QHIHHB")  # id, worker, milliseconds, bytes of URL and type, has a body
_ANSWER: Final = Struct("<QHB")  # id, status, failure
_URL: Final = re.compile(r"https?://[!-~]+")
_CONTENT_TYPE: Final = re.compile(r"[ -~]{1,128}")


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What came of a look-up: `status` and `body`, or status 0 and the `failure` in words."""

    status: int = 0
    body: bytes = b""
    failure: str = ""

    @property
    def ok(self) -> bool:
        """Whether there is an answer with a 2xx."""
        return 200 <= self.status < 300

    def json(self, default: Any = None) -> Any:
        """The body as JSON; `default` when it is none."""
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return default


@dataclass(frozen=True, slots=True)
class HttpQuestion:
    """One request to a web server; GET without a body, else POST."""

    number: int
    worker: int
    milliseconds: int
    url: str
    content_type: str = ""
    body: bytes | None = None

    def encode(self) -> bytes:
        """It as it stands in the ring."""
        url, kind = self.url.encode(), self.content_type.encode()
        has_body = self.body is not None
        head = _QUESTION.pack(
            self.number, self.worker, self.milliseconds, len(url), len(kind), has_body
        )
        return head + url + kind + (self.body or b"")

    @classmethod
    def decode(cls, data: bytes) -> HttpQuestion:
        """The reverse of `encode`."""
        number, worker, milliseconds, url, kind, has_body = _QUESTION.unpack_from(data)
        rest = data[_QUESTION.size :]
        body = rest[url + kind :] if has_body else None
        text = rest[: url + kind].decode()
        return cls(number, worker, milliseconds, text[:url], text[url:], body)


def encode_answer(number: int, status: int, failure: int, body: bytes = b"") -> bytes:
    """An answer as an errand carries it."""
    return _ANSWER.pack(number, status, failure) + body


class HttpLookup(Pending):
    """One look-up that a policy awaits."""

    def __init__(self, lookups: Lookups | None = None, number: int = 0) -> None:
        super().__init__()
        self.lookups = lookups
        self.number = number

    def outcome(self) -> HttpAnswer:
        """What `await` gives."""
        result = self.result
        return failed(TOO_LATE) if result is LATE else result

    def fire(self, timer: int, now: float) -> None:
        """Nobody has answered in time."""
        if self.lookups is not None and not self.done:
            self.lookups.forget(self.number)
        super().fire(timer, now)


class WebAsker(Protocol):
    """Who asks web servers for a worker."""

    def ask(
        self, url: str, body: bytes | None, content_type: str, seconds: float, now: float
    ) -> HttpLookup:
        """Ask; what is returned is finished within `seconds`."""


class Lookups:
    """The look-ups that a worker has asked for; `send` puts a question into the ring."""

    def __init__(
        self,
        worker: int,
        first: int,
        send: Callable[[bytes], bool],
        pendings: Pendings,
        counters: Counters,
    ) -> None:
        """`first` is a number that no predecessor of this worker has come to."""
        self.worker = worker
        self.number = first
        self.send = send
        self.pendings = pendings
        self.counters = counters
        self.open: dict[int, HttpLookup] = {}

    def ask(
        self, url: str, body: bytes | None, content_type: str, seconds: float, now: float
    ) -> HttpLookup:
        """Ask; what is returned is finished within `seconds`."""
        self.number += 1
        lookup = HttpLookup(self, self.number)
        question = HttpQuestion(
            self.number, self.worker, max(1, round(seconds * 1_000)), url, content_type, body
        )
        self.counters.add(LOOKUPS, 1)
        if not self.pendings.begin(lookup, seconds, now) or not self.send(question.encode()):
            self.end(lookup, failed(TOO_MANY))
        else:
            self.open[self.number] = lookup
        return lookup

    def answered(self, data: bytes) -> None:
        """An answer has come; one that is too late, or for a predecessor, is not missed."""
        number, status, failure = _ANSWER.unpack_from(data)
        lookup = self.open.pop(number, None)
        if lookup is not None:
            self.end(lookup, HttpAnswer(status, data[_ANSWER.size :], FAILURES[failure]))

    def end(self, lookup: HttpLookup, answer: HttpAnswer) -> None:
        """Give a look-up its answer."""
        if answer.failure:
            self.counters.add(LOOKUP_FAILURES, 1)
        if lookup.done:  # refused: it is LATE already, which says less
            lookup.result = answer
        lookup.finish(answer)

    def forget(self, number: int) -> None:
        """A look-up is not waited for any more."""
        self.counters.add(LOOKUP_FAILURES, 1)
        self.open.pop(number, None)


def failed(failure: int) -> HttpAnswer:
    """An answer that says why there is none."""
    return HttpAnswer(failure=FAILURES[failure])


def check_question(url: str, body: bytes | None, content_type: str) -> None:
    """ValueError for what is no question; a network has no part in that."""
    if not _URL.fullmatch(url) or len(url) > URI_BYTES:
        raise ValueError(f"{url!r} is no http or https URL of at most {URI_BYTES} characters")
    if body is not None and len(body) > HTTP_QUESTION_BYTES:
        raise ValueError(f"a body of a look-up has at most {HTTP_QUESTION_BYTES} bytes")
    if body is not None and not _CONTENT_TYPE.fullmatch(content_type):
        raise ValueError(f"{content_type!r} is no content type")
