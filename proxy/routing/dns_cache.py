"""DNS questions, answers, and answers remembered for as long as they may be."""

from __future__ import annotations

from typing import NamedTuple

from proxy.limits.bounds import DNS_CACHE


class Query(NamedTuple):
    """One question: a lower-case name without its last dot, and "A", "AAAA", "SRV" or "NAPTR"."""

    name: bytes
    kind: str


class Naptr(NamedTuple):
    """RFC 3403; `flags` and `service` in upper case, `replacement` a name."""

    order: int
    preference: int
    flags: bytes
    service: bytes
    regexp: bytes
    replacement: bytes


class Srv(NamedTuple):
    """RFC 2782; an empty `target` stands for the root: the service is not offered."""

    priority: int
    weight: int
    port: int
    target: bytes


class Answer(NamedTuple):
    """What came back: `records` (addresses as text for A and AAAA), none of them, or a failure."""

    records: tuple[bytes, ...] | tuple[Srv, ...] | tuple[Naptr, ...] = ()
    ttl: int = 0  # seconds; of a negative answer: ignored, DnsCache has its own
    failed: bool = False  # no answer at all: a timeout, a refusing or broken server


class DnsCache:
    """A bounded cache with negative entries. Seconds of any clock that does not go back."""

    def __init__(
        self,
        capacity: int = DNS_CACHE,
        max_ttl: int = 3600,
        negative_ttl: int = 30,
        failure_ttl: int = 2,
    ) -> None:
        self.capacity = capacity
        self.max_ttl = max_ttl
        self.negative_ttl = negative_ttl
        self.failure_ttl = failure_ttl
        self._answers: dict[Query, tuple[float, Answer]] = {}

    def __len__(self) -> int:
        return len(self._answers)

    def get(self, query: Query, now: float) -> Answer | None:
        """The remembered answer, or None when there is none that still counts."""
        entry = self._answers.get(query)
        if entry is None:
            return None
        if entry[0] <= now:
            del self._answers[query]
            return None
        return entry[1]

    def put(self, query: Query, answer: Answer, now: float) -> None:
        """Remember `answer`; at the bound the one remembered first goes."""
        seconds = self._seconds(answer)
        self._answers.pop(query, None)
        if seconds <= 0 or self.capacity <= 0:
            return
        while len(self._answers) >= self.capacity:
            del self._answers[next(iter(self._answers))]
        self._answers[query] = (now + seconds, answer)

    def _seconds(self, answer: Answer) -> int:
        if answer.failed:
            return self.failure_ttl
        if not answer.records:
            return self.negative_ttl
        return min(answer.ttl, self.max_ttl)
