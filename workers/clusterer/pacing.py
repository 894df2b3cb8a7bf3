"""How often the clusterer looks at what changed: soon after a quiet moment, seldom while many come.

What a look costs by itself is shared by all that it finds.
"""

from __future__ import annotations

from typing import Final

TICK_MS: Final = 1  # between two looks as a rule,
SPARED_MS: Final = 4  # but so much of it may be saved up: what comes after quiet need not wait
# While many come, it sleeps between two turns, whatever else arrives: so many times as long as the
# last one took of a processor, which is then its share of one, but no longer than a peer may lag.
NAPS_PER_TURN: Final = 10
LONGEST_NAP_MS: Final = 25
NAP_TAKING_MS: Final = 5
MANY: Final = 8  # records in a turn
LONG_NS: Final = 300_000  # of a processor: after that somebody else should have it


class Pacing:
    """The moments of looks, in milliseconds of any clock, and the naps between them."""

    def __init__(self) -> None:
        self.free_at = 0  # when the next look may be
        self._told = 0  # records, by the last turn
        self._taken = 0
        self._used_ns = 0
        self.was_long = False  # the last turn

    def looked(self, now: int) -> None:
        """Another look has begun: at its time, or before, for what was left to do at once."""
        self.free_at = min(max(self.free_at, now - SPARED_MS), now) + TICK_MS

    def nap(self, told: int, taken: int, used_ns: int) -> int:
        """How long to sleep before the next turn so that it has more to do, if the last had much.

        Records told and taken so far, and what has been used of a processor.
        """
        turn_ns, self._used_ns = used_ns - self._used_ns, used_ns
        self.was_long = turn_ns >= LONG_NS
        news, self._told = told - self._told, told
        others, self._taken = taken - self._taken, taken
        if news >= MANY:
            wanted = NAPS_PER_TURN * turn_ns // 1_000_000
            return min(max(wanted, NAP_TAKING_MS), LONGEST_NAP_MS)
        return NAP_TAKING_MS if others >= MANY else 0
