"""The shedder: what it never turns away, in which order it does, and that it comes to rest."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.limits.overload import (
    ADMIT,
    DROP,
    ESTABLISHED,
    INVITE,
    KINDS,
    OPTIONS,
    OTHER,
    REFRESH,
    REFUSE,
    REGISTER,
    OverloadRules,
    Shedder,
    draw,
)

ORDER = (OPTIONS, REGISTER, INVITE, OTHER, REFRESH)
TURN = 0.005
DRAWS = st.integers(0, 0xFFFFFFFF)
DELAYS = st.lists(st.floats(0, 10), max_size=200)
REQUEST = (
    b"OPTIONS sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK%d\r\n"
    b"From: <sip:a@example.com>;tag=1\r\nTo: <sip:a@example.com>\r\nCall-ID: %d\r\n\r\n"
)


def shedder(**rules: float) -> Shedder:
    return Shedder(OverloadRules(**rules))  # type: ignore[arg-type]


def pressed(delays: list[float], offered: dict[int, int]) -> Shedder:
    """A shedder that has lived through these delays, with so much of each kind in each turn."""
    found = shedder()
    for number, delay in enumerate(delays):
        for kind, count in offered.items():
            for _ in range(count):
                found.verdict(kind, 0xFFFFFFFF)
        found.observe(delay, delay, number * TURN)
    return found


class Queue:
    """A worker with one queue, in seconds of work: `load` is offered, 1 is done."""

    def __init__(self, found: Shedder) -> None:
        self.shedder = found
        self.now = 0.0
        self.waiting = 0.0
        self.number = 0

    def run(self, seconds: float, load: float, kind: int = INVITE) -> list[float]:
        """The delays of so many seconds."""
        delays = []
        for _ in range(round(seconds / TURN)):
            self.now += TURN
            for _ in range(10):
                self.number += 1
                if self.shedder.verdict(kind, draw(b"%064d" % self.number, 1)) == ADMIT:
                    self.waiting += TURN * load / 10
            standing = self.waiting = max(self.waiting - TURN, 0.0)
            self.shedder.observe(self.waiting, standing, self.now)
            delays.append(self.waiting)
        return delays


@given(DELAYS, DRAWS, st.booleans())
def test_what_is_established_is_never_turned_away(
    delays: list[float], drawn: int, late: bool
) -> None:
    found = pressed(delays, {INVITE: 3, OPTIONS: 1})
    found.late = late
    assert found.verdict(ESTABLISHED, drawn) == ADMIT
    assert found.verdict(KINDS, drawn) == ADMIT  # nor what nobody has a name for


@given(DELAYS, st.dictionaries(st.sampled_from(ORDER), st.integers(0, 5)))
def test_the_less_important_goes_first(delays: list[float], offered: dict[int, int]) -> None:
    found = pressed(delays, offered)
    assert 0 <= found.pressure <= 1
    assert found.threshold(OPTIONS) >= found.threshold(INVITE) >= found.threshold(REFRESH) >= 0
    assert found.threshold(INVITE) == found.threshold(REGISTER) == found.threshold(OTHER)
    assert found.threshold(OPTIONS) <= 65_536
    if found.threshold(REFRESH):
        assert found.threshold(INVITE) == 65_536


@given(st.lists(st.floats(0, 1), min_size=60, max_size=60), st.floats(0, 0.5))
def test_longer_queues_turn_away_more(delays: list[float], more: float) -> None:
    less = pressed(sorted(delays), {INVITE: 1})
    longer = pressed([delay + more for delay in sorted(delays)], {INVITE: 1})
    assert longer.pressure >= less.pressure - 1e-9


def test_without_a_standing_queue_nothing_goes() -> None:
    found = shedder()
    for number in range(1_000):
        standing = 1.0 if number % 10 else 0.0  # bursts that are over within a tenth of a second
        found.observe(1.0, standing, number * TURN)
    assert found.pressure == 0
    found.observe(0.0, 0.0, 1_001 * TURN)
    assert not found.active


def test_twice_the_capacity_is_brought_down_and_held() -> None:
    queue = Queue(shedder())
    assert max(queue.run(3, 0.95)) < 0.02
    assert max(queue.run(3, 2.0)) < 0.3
    steady = queue.run(10, 2.0)
    assert 0 < min(steady)  # always at work
    assert max(steady) < 0.05
    assert 0.4 < queue.shedder.pressure < 0.6


def test_calm_comes_back_within_seconds() -> None:
    queue = Queue(shedder())
    queue.run(10, 5.0)
    assert queue.shedder.pressure > 0.7
    queue.run(4.5, 0.5)
    assert queue.shedder.pressure == 0
    assert not queue.shedder.active
    queue.run(0.1, 0.5)
    assert all(queue.shedder.threshold(kind) == 0 for kind in ORDER)


def test_a_retransmission_has_the_fate_of_its_original() -> None:
    first, second = REQUEST % (1, 1), REQUEST % (2, 2)
    assert draw(first, 7) == draw(bytes(bytearray(first)), 7)
    assert draw(first, 7) != draw(second, 7)
    assert draw(first, 7) != draw(first, 8)
    assert draw(first + b"x" * 400, 7) == draw(first + b"x" * 300, 7)
    assert draw(b"", 7) == draw(b"abc", 7) == 7


def test_draws_are_spread_evenly() -> None:
    below = sum(draw(REQUEST % (number, number), 3) >> 16 < 16_384 for number in range(4_000))
    assert 850 < below < 1_150


def test_refusals_have_a_budget() -> None:
    found = shedder(answers=100.0)
    queue = Queue(found)
    queue.run(2, 3.0)
    said = [found.verdict(INVITE, draw(b"%064d" % n, 1)) for n in range(10_000)]
    # 2,000 requests a second of which two thirds go, and 100 of them are told
    assert 0.04 < said.count(REFUSE) / (10_000 - said.count(ADMIT)) < 0.16
    assert said.count(DROP) > 4_000
    assert draw(b"%064d" % 1, 1) == draw(b"%064d" % 1, 1)


def test_what_the_kernel_dropped_was_turned_away_too() -> None:
    found = shedder(answers=100.0)
    for number in range(100):
        found.unread(50)
        found.observe(0.1, 0.1, number * TURN)
    assert found.silent > 0.9


def test_what_is_late_gets_no_answer() -> None:
    found = shedder()
    found.observe(0.6, 0.0, 1.0)
    assert found.active
    found.late = True
    assert found.verdict(REFRESH, 0xFFFFFFFF) == DROP
    assert found.verdict(ESTABLISHED, 0) == ADMIT


def test_under_pressure_what_has_waited_for_long_goes_first() -> None:
    found = shedder(target=0.01, stale=0.5)
    found.date(0.2, 0.2, 10**12)
    assert found.aged_before_ns == 0  # no pressure yet: a worker may just have begun
    found.pressure = 0.1
    found.date(0.2, 0.0, 10**12)
    assert found.aged_before_ns == 0  # a burst, that one turn has emptied
    found.date(0.2, 0.2, 10**12)
    assert found.aged_before_ns == 10**12 - 50_000_000
    assert found.late_before_ns == 0
    fates = []
    for age_ms in (0, 49, 51, 400):
        found.note_age(10**12 - age_ms * 10**6)
        fates.append(found.verdict(INVITE, 0xFFFFFFFF))
        assert found.verdict(ESTABLISHED, 0xFFFFFFFF) == ADMIT
    assert fates == [ADMIT, ADMIT, REFUSE, REFUSE]
    found.note_age(0)  # nobody knows
    assert found.verdict(INVITE, 0xFFFFFFFF) == ADMIT
    found.date(0.6, 0.6, 10**12)
    found.note_age(10**12 - 550 * 10**6)
    assert found.verdict(INVITE, 0xFFFFFFFF) == DROP
    found.date(0.0, 0.0, 10**12)
    assert not found.aged
    assert not found.late


def test_other_rules_hold_at_once() -> None:
    found = shedder(target=0.02)
    found.use_rules(OverloadRules(target=1.0))
    for number in range(100):
        found.observe(0.1, 0.1, number * TURN)
    assert found.pressure == 0
