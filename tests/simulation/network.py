"""The network between simulated nodes: loses, repeats, delays, reorders, holds back, divides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

Deliver = Callable[[int, int, bytes], None]
HELD_MOST = 400  # frames a clogged way keeps, as ZeroMQ's high-water mark would


@dataclass
class Way:
    """One direction between two nodes."""

    loss: float = 0.0
    repeat: float = 0.0
    corrupt: float = 0.0
    least_ms: int = 0
    most_ms: int = 1
    late: float = 0.0  # share of frames that take far longer: reordering
    cut: int = 0  # how many partitions lie across it
    clogged: int = 0
    held: list[tuple[int, int, bytes]] = field(default_factory=list)
    free_at: int = 0  # a way keeps the order of its frames unless it reorders


class Network:
    """All ways; what becomes of a frame is drawn from one stream of chance."""

    def __init__(
        self, nodes: list[int], late_ms: int, chance: Random, at: Callable[..., None]
    ) -> None:
        self.chance = chance
        self.late_ms = late_ms
        self.at = at
        self.ways = {(a, b): Way() for a in nodes for b in nodes if a != b}
        self.lost = self.repeated = self.reordered = self.held = self.corrupted = 0
        self.deliver: Deliver = lambda source, target, data: None

    def send(self, now: int, source: int, target: int, data: bytes) -> None:
        """A frame sets out."""
        way = self.ways[source, target]
        if way.cut or (way.loss and self.chance.random() < way.loss):
            self.lost += 1
            return
        if way.corrupt and self.chance.random() < way.corrupt:
            self.corrupted += 1
            data = self._damaged(data)
        copies = 1
        if way.repeat and self.chance.random() < way.repeat:
            self.repeated += 1
            copies = 2
        for _ in range(copies):
            self._travel(now, way, source, target, data)

    def _damaged(self, data: bytes) -> bytes:
        """One byte changed, or the end missing."""
        place = self.chance.randrange(len(data))
        if self.chance.random() < 0.2:
            return data[:place]
        wrong = bytes([data[place] ^ self.chance.randint(1, 255)])
        return data[:place] + wrong + data[place + 1 :]

    def _travel(self, now: int, way: Way, source: int, target: int, data: bytes) -> None:
        if way.clogged:
            if len(way.held) < HELD_MOST:
                self.held += 1
                way.held.append((source, target, data))
            else:
                self.lost += 1
            return
        spread = way.most_ms - way.least_ms + 1
        arrives = now + way.least_ms + int(spread * self.chance.random())
        if way.late and self.chance.random() < way.late:
            self.reordered += 1
            arrives += self.chance.randint(5, self.late_ms)
        else:
            arrives = way.free_at = max(arrives, way.free_at)
        self.at(arrives, self.deliver, source, target, data)

    def release(self, now: int, way: Way) -> None:
        """What a clogged way held comes through, perhaps in another order."""
        held, way.held = way.held, []
        if self.chance.random() < 0.5:
            self.chance.shuffle(held)
        for source, target, data in held:
            self.at(now + self.chance.randint(0, 40), self.deliver, source, target, data)

    def heal(self, now: int) -> None:
        """All faults end."""
        for way in self.ways.values():
            way.loss = way.repeat = way.late = way.corrupt = 0.0
            way.cut = way.clogged = 0
            way.least_ms, way.most_ms = 0, 2
            self.release(now, way)
