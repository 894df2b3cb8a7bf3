"""The faults of one run, drawn before it begins: a list that can be shortened until it is small."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from tests.simulation.shape import Shape

KINDS = (
    "loss",
    "repeat",
    "reorder",
    "delay",
    "partition",
    "one-way",
    "isolate",
    "clog",
    "crash",
    "crash-empty",
    "skew",
    "far-skew",
    "corrupt",
    "pause",
    "slow",
    "burst",
)


@dataclass(frozen=True)
class Fault:
    """One of them: from `at` until `until`, on a node or on the ways between two."""

    kind: str
    at: int
    until: int
    node: int
    other: int
    size: float

    def __str__(self) -> str:
        return f"{self.at:>6}-{self.until:<6} {self.kind} {self.node},{self.other} {self.size:.2f}"


def draw(chance: Random, shape: Shape) -> list[Fault]:
    """Faults for one run: every fourth run has few kinds, and many of them."""
    kinds = list(KINDS) if chance.random() < 0.75 else chance.sample(KINDS, 3)
    nodes = range(1, shape.nodes + 1)
    duration = shape.ms(shape.faulty)
    found = []
    for _ in range(chance.randint(shape.least_faults, shape.most_faults)):
        at = chance.randint(0, duration - shape.ms(500))
        until = min(duration, at + shape.ms(chance.choice((200, 800, 2000, 4500))))
        node, other = chance.sample(nodes, 2)
        found.append(Fault(chance.choice(kinds), at, until, node, other, chance.random()))
    return sorted(found, key=lambda fault: (fault.at, fault.kind, fault.node, fault.other))
