"""How large a run is: many are short and small, so that there can be very many; some are not.

In a short run all times are a third as long, those of the protocol and those of the faults alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from proxy.cluster.settings import Pace

# Shorter than a real cluster's, so that a run meets every deadline.
PACE = Pace(
    beat=250,
    silence=1_500,
    resend=300,
    resend_most=2_000,
    hello=300,
    sync_silence=1_500,
    repair=2_500,
    repair_soon=900,
    seed_wait=1_200,
    counts=200,
    counts_refresh=1_500,
    counts_expire=4_000,
    tombstone_least_s=6,
    longest_life_s=0,
)
FULL = 1_000
BRIEF = 333


@dataclass(frozen=True)
class Shape:
    """What is drawn of a run before anything else."""

    nodes: int
    second: int  # milliseconds that what is called a second here takes
    faulty: int  # such milliseconds under faults
    least_faults: int
    most_faults: int

    def ms(self, milliseconds: float) -> int:
        """A time of a full run in this one."""
        return int(milliseconds * self.second) // FULL

    @property
    def pace(self) -> Pace:
        """The protocol's times."""
        if self.second == FULL:
            return PACE
        times = {
            name: self.ms(getattr(PACE, name)) for name in Pace.__slots__ if not name.endswith("_s")
        }
        # Tombstones go as soon as every node has them, as they do in a crowded table.
        return Pace(**times, tombstone_least_s=0, longest_life_s=0)


def draw(chance: Random) -> Shape:
    """The shape of one run."""
    size = chance.random()
    if size < 0.60:
        return Shape(chance.choice((2, 2, 2, 3)), BRIEF, 3_000, 1, 5)
    if size < 0.82:
        return Shape(chance.choice((2, 2, 3)), BRIEF, 5_000, 1, 6)
    if size < 0.96:
        return Shape(chance.choice((2, 3, 3)), BRIEF, 9_000, 2, 10)
    return Shape(chance.choice((2, 3, 4)), FULL, 9_000, 2, 14)
