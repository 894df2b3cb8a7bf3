"""Nodes of a cluster joined by hand: every frame is there to be dropped, kept or changed."""

from __future__ import annotations

from collections.abc import Callable

from proxy.cluster.cluster import Cluster
from proxy.cluster.frames import Frame, decode
from proxy.cluster.hlc import HybridClock
from proxy.cluster.merge import make, tombstone
from proxy.cluster.messages import Kind
from proxy.cluster.settings import Settings
from tests.simulation.store import DESTINATIONS, MemoryStore

WALL = 1_700_000_000_000
Keep = Callable[[int, int, Frame], bool]


def everything(source: int, target: int, frame: Frame) -> bool:
    return True


class Trio:
    """Some nodes and one clock."""

    def __init__(self, nodes: int = 2, **settings: object) -> None:
        self.now = 0
        self.numbers = list(range(1, nodes + 1))
        self.settings = settings
        self.stores: dict[int, MemoryStore] = {}
        self.brains: dict[int, Cluster] = {}
        self.frames: list[tuple[int, int, Frame]] = []
        self.keep: Keep = everything
        self.epochs = dict.fromkeys(self.numbers, 0)
        self.skew_ms = dict.fromkeys(self.numbers, 0)
        for number in self.numbers:
            self.boot(number)

    def boot(self, number: int, keep_tables: bool = False, seed: bool | None = None) -> Cluster:
        if not keep_tables:
            self.stores[number] = MemoryStore(1000)
        self.epochs[number] += 1
        peers = tuple(n for n in self.numbers if n != number)
        settings = Settings(
            node=number,
            peers=peers,
            seed=number == 1 if seed is None else seed,
            tags=("vip",),
            **{"tables": (1, 3), **self.settings},  # type: ignore[arg-type]
        )
        store = self.stores[number]
        self.brains[number] = Cluster(settings, store, HybridClock(), self.epochs[number])
        return self.brains[number]

    def run(self, ms: int, step_ms: int = 10) -> None:
        """Let time pass."""
        end = self.now + ms
        while self.now < end:
            self.now += step_ms
            for number, brain in list(self.brains.items()):
                brain.tick(self.now, self.wall(number))
                for hop, _, data in brain.ready():
                    self.carry(number, hop, data)

    def carry(self, source: int, target: int, data: bytes) -> None:
        frame = decode(data)
        if target in self.brains and self.keep(source, target, frame):
            self.frames.append((source, target, frame))
            self.brains[target].step(data, self.now, self.wall(target))

    def wall(self, number: int) -> int:
        """A node's clock."""
        return WALL + self.now + self.skew_ms[number]

    def put(self, number: int, key: bytes, payload: bytes | None = b"x", later: int = 0) -> int:
        """A change at a node's edge; its version."""
        version = (WALL + self.now + later) << 16
        body = make(version, number, payload) if payload is not None else tombstone(version, number)
        self.stores[number].commit(DESTINATIONS, key, body, "edge")
        return version

    def holds(self, number: int, key: bytes) -> bool:
        return (DESTINATIONS, key) in self.stores[number].records

    def sent(self, kind: Kind, source: int = 0) -> list[Frame]:
        return [f for s, _, f in self.frames if f.kind == kind and source in (0, s)]
