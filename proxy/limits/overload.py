"""Overload control: how much of the new work is turned away, by how long messages have waited.

The measure is the standing queue: how old the oldest message was in turns that could not take in
all that waited. What a turn empties was a burst, or somebody else had the processor. When the
least of a tenth of a second stays above the target, a PI controller in the manner of PIE
(RFC 8033) moves `pressure`, the share of the work that is new which has to go; the least
important goes first. What belongs to something under way is never turned away.

What has waited for several times the target, while there is pressure, goes first of all: it would
be served late, and at the beginning of an overload that is most of what waits.

Which requests go is drawn from their bytes: a retransmission has the fate of its original, so
that what was not answered does not come in half a second late after all.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import cython

# What a request is, to whoever has to choose.
ESTABLISHED: Final = 0  # of a dialog or a transaction: served, whatever happens
OPTIONS: Final = 1
REGISTER: Final = 2  # of nobody we know
INVITE: Final = 3
OTHER: Final = 4
REFRESH: Final = 5  # a REGISTER of a phone that is registered, or shows credentials
KINDS: Final = 6

AGED: Final = 5  # times the target: what has waited longer goes before what has just come

ADMIT: Final = 0
REFUSE: Final = 1  # with a 503
DROP: Final = 2  # what is late, or what there is no time to answer

INTERVAL: Final = 0.05  # seconds between two looks at the queue
INTEGRAL: Final = 12.5  # of the pressure, per second and second of delay
PROPORTIONAL: Final = 5.0  # together critically damped, with a time constant of 0.2 s
EASING: Final = 0.93  # what is left of the pressure after an interval without a queue, as in PIE
LONGEST: Final = 0.2  # an interval that was longer counts as this
EVERYTHING: Final = 65_536  # draws are below
DRAWN_BYTES: Final = 256  # the first line and the topmost Via, with its branch
AGES: Final = 1_000.0  # seconds: more than any message waits
FACTOR: Final = 0x9E3779B1
MASK: Final = 0xFFFFFFFF

# What goes first, and what one of a kind costs in units of an OPTIONS.
_ORDER = (OPTIONS, REGISTER, INVITE, OTHER, REFRESH)
_RANKS = ((OPTIONS,), (REGISTER, INVITE, OTHER), (REFRESH,))
_COSTS = {OPTIONS: 1, REGISTER: 1, INVITE: 7, OTHER: 3, REFRESH: 1}
_ADMIT = ADMIT
_REFUSE = REFUSE
_DROP = DROP
_KINDS = KINDS
_EVERYTHING = EVERYTHING
_DRAWN_BYTES = DRAWN_BYTES
_FACTOR = FACTOR
_MASK = MASK


def draw(data: bytes, salt: int) -> int:
    """A number of 32 bits that is the same each time a request is sent; its upper half decides."""
    p = data
    size = min(len(data), _DRAWN_BYTES) & ~3
    value = salt
    at = 0
    while at < size:
        word = p[at] << 24 | p[at + 1] << 16 | p[at + 2] << 8 | p[at + 3]
        value = ((value ^ word) * _FACTOR) & _MASK
        value ^= value >> 15
        at += 4
    return value


class OverloadRules(NamedTuple):
    """What an operator decides: seconds, refusals sent per second and worker, and seconds again."""

    target: float = 0.005  # that messages may wait
    stale: float = 0.5  # after which nobody waits for an answer: it has been asked again
    answers: float = 10_000.0
    retry_after: int = 10


class Shedder:
    """What one worker turns away: told of the queue each turn, asked about each new request.

    What was received before `aged_before_ns` has waited too long to be served in time, before
    `late_before_ns` too long to be answered at all; 0 while nothing has.
    """

    def __init__(self, rules: OverloadRules, salt: int = 0) -> None:
        self.salt = salt & MASK
        self.pressure = 0.0
        self.silent = 0.0  # the share of what is turned away that gets no answer
        self.active = False  # whether anything may be turned away just now
        self.aged = self.late = False  # of the message at hand
        self.aged_before_ns = self.late_before_ns = 0
        self.delay = 0.0  # the standing queue, seconds
        self.turned_away = 0  # since the last look
        self._least = AGES
        self._before = 0.0
        self._looked_at = 0.0
        if not cython.compiled:
            self.thresholds = [0] * KINDS
            self.offered = [0] * KINDS
            self.shares = [0.0] * KINDS
        for kind in range(KINDS):
            self.thresholds[kind] = 0
            self.offered[kind] = 0
            self.shares[kind] = 0.0
        self.use_rules(rules)

    def use_rules(self, rules: OverloadRules) -> None:
        """Go by other settings from now on."""
        self.target = rules.target
        self.stale = rules.stale
        self.answers = rules.answers
        self.retry_after = rules.retry_after

    def observe(self, waited: float, standing: float, now: float) -> None:
        """A turn: how long its oldest message has waited, and the oldest of a queue not emptied."""
        if standing < self._least:
            self._least = standing
        if now >= self._looked_at + INTERVAL:
            self.look(now)
        self.active = self.pressure > 0 or standing > self.target or waited > self.stale

    def date(self, waited: float, standing: float, now_ns: int) -> None:
        """From when on messages have waited too long, in a turn as `observe` was told of."""
        self.aged = self.late = False
        self.late_before_ns = now_ns - int(self.stale * 1e9) if waited > self.stale else 0
        self.aged_before_ns = self.late_before_ns
        if self.pressure > 0 and standing > AGED * self.target:
            self.aged_before_ns = max(now_ns - int(AGED * self.target * 1e9), self.late_before_ns)

    def note_age(self, received_ns: int) -> None:
        """The message at hand was received then; 0 where the kernel has not said."""
        self.aged = 0 < received_ns < self.aged_before_ns
        self.late = 0 < received_ns < self.late_before_ns

    def look(self, now: float) -> None:
        """Move the pressure, and what follows from it."""
        elapsed = min(now - self._looked_at, LONGEST)
        delay = min(self._least, self._before)
        if self.pressure > 0 or delay > self.target:
            change = INTEGRAL * elapsed * (delay - self.target)
            change += PROPORTIONAL * (delay - self.delay)
            if delay <= 0 and self.delay <= 0:
                self.pressure *= EASING
            self.pressure = min(max(self.pressure + change, 0.0), 1.0)
        self.delay = delay
        self._before = self._least
        self._least = AGES
        self._looked_at = now
        self.budget(elapsed)
        self.share_out()

    def budget(self, elapsed: float) -> None:
        """Which share of the refusals remains unsaid, if they are as many as in this interval."""
        granted = self.answers * elapsed
        unsaid = 1.0 - granted / self.turned_away if self.turned_away > granted else 0.0
        self.silent = (self.silent + unsaid) / 2 if unsaid else 0.0
        self.turned_away = 0

    def share_out(self) -> None:
        """What part of each kind has to go, by what has come of it of late."""
        total = 0.0
        for kind in _ORDER:
            self.shares[kind] = (self.shares[kind] + self.offered[kind] * _COSTS[kind]) / 2
            self.offered[kind] = 0
            total += self.shares[kind]
        left = self.pressure * total
        for rank in _RANKS:
            load = 0.0
            for kind in rank:
                load += self.shares[kind]
            part = 0.0
            if left > 0:
                part = 1.0 if left >= load else left / load
            for kind in rank:
                self.thresholds[kind] = int(part * _EVERYTHING)
            left -= load

    def verdict(self, kind: int, drawn: int) -> int:
        """What becomes of a new request of this kind: ADMIT, REFUSE or DROP."""
        if kind <= 0 or kind >= _KINDS:
            return _ADMIT
        self.offered[kind] += 1
        if self.late:
            return _DROP
        place = drawn >> 16
        threshold = _EVERYTHING if self.aged else self.thresholds[kind]
        if place >= threshold:
            return _ADMIT
        self.turned_away += 1
        return _DROP if place < threshold * self.silent else _REFUSE

    def threshold(self, kind: int) -> int:
        """Below which draws a kind is turned away."""
        return self.thresholds[kind]

    def unread(self, count: int) -> None:
        """The kernel has dropped so many for us."""
        self.turned_away += count
