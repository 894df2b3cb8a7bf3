"""Answers that wait for the database: sent in order, bounded in number and in time."""

from __future__ import annotations

from dataclasses import dataclass, field

from proxy.limits.counters import STORAGE_PARKED, STORAGE_PARKED_LATE, STORAGE_PARKED_REFUSED
from proxy.routing.parking import Parking

READER = 0
RETRY = b"Retry-After: 30\r\n"


@dataclass
class Ring:
    """How far the database is, and how far everything is."""

    durable: int = 0
    head: int = 0

    def done(self, reader: int) -> int:
        assert reader == READER
        return self.durable


@dataclass
class Request:
    """What is answered, and how."""

    waiting: bool = False
    answers: list[tuple[int, bytes]] = field(default_factory=list)

    def answer(self, status: int, reason: bytes, headers: bytes, body: bytes) -> None:
        assert not self.waiting, "its policy has to know first that it need not wait"
        self.answers.append((status, headers))


@dataclass
class Table:
    changed_at: int = 0


class Counters(dict[int, int]):
    def add(self, column: int, by: int) -> None:
        self[column] = self.get(column, 0) + by


def parking(ring: Ring, limit: int = 100) -> tuple[Parking, Counters]:
    counters = Counters()
    made = Parking(ring, READER, 3.0, limit, RETRY, counters)  # type: ignore[arg-type]
    return made, counters


@dataclass
class Saved:
    """What a REGISTER came to."""

    changed: bool
    status: int = 200
    reason: bytes = b"OK"
    headers: bytes = b"Contact: x\r\n"


def hold(
    place: Parking, position: int, now: float = 0.0, changed: bool = True
) -> tuple[bool, Request]:
    request = Request()
    return place.hold(request, Saved(changed), Table(position), now), request  # type: ignore[arg-type]


def test_what_the_database_has_does_not_wait() -> None:
    place, counters = parking(Ring(durable=10))
    held, request = hold(place, 10)
    assert not held
    assert not request.answers
    assert counters == {}


def test_answers_leave_in_order_as_far_as_the_database_is() -> None:
    ring = Ring()
    place, counters = parking(ring)
    requests = [hold(place, position)[1] for position in (1, 2, 3)]
    assert all(request.waiting for request in requests)
    ring.durable = 2
    place.release()
    assert [request.answers for request in requests] == [
        [(200, b"Contact: x\r\n")],
        [(200, b"Contact: x\r\n")],
        [],
    ]
    ring.durable = 3
    place.release()
    assert requests[2].answers == [(200, b"Contact: x\r\n")]
    assert counters == {STORAGE_PARKED: 3}


def test_a_repetition_waits_for_what_it_repeats() -> None:
    place, _ = parking(Ring(durable=4, head=5))
    held, _ = hold(place, 4, changed=False)
    assert held


def test_more_than_the_limit_get_503_at_once() -> None:
    place, counters = parking(Ring(), limit=2)
    requests = [hold(place, 1)[1] for _ in range(3)]
    assert [request.answers for request in requests] == [[], [], [(503, RETRY)]]
    assert counters == {STORAGE_PARKED: 2, STORAGE_PARKED_REFUSED: 1}


def test_who_waits_too_long_gets_503() -> None:
    ring = Ring()
    place, counters = parking(ring)
    requests = [hold(place, position, now)[1] for position, now in ((1, 0.0), (2, 1.0), (3, 2.0))]
    place.expire(2.9)
    assert not any(request.answers for request in requests)
    ring.durable = 1  # nobody has told us, but the first must not be refused for that
    place.expire(4.0)
    assert [request.answers for request in requests] == [
        [(200, b"Contact: x\r\n")],
        [(503, RETRY)],
        [],
    ]
    assert [request.waiting for request in requests] == [False, False, True]
    assert counters == {STORAGE_PARKED: 3, STORAGE_PARKED_LATE: 1}
    place.expire(5.0)
    assert requests[2].answers == [(503, RETRY)]
    place.expire(9.0)
    assert counters[STORAGE_PARKED_LATE] == 2
