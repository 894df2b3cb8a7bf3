"""What phones, operators and virtual IPs do to a simulated cluster."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from proxy.cluster.counts import PIPE, PROFILE
from tests.simulation.node import Node
from tests.simulation.store import CONTACTS, LOCATION

if TYPE_CHECKING:
    from tests.simulation.simulation import Simulation

AORS = [b"user%d@example.com" % number for number in range(14)]
CALLS = [b"call%d\0from" % number for number in range(6)]
GATEWAYS = [b"1 192.0.2.%d:5060" % number for number in range(3)]
LONG_S = 3_600


class Workload:
    """Phones with favourite nodes, calls, counts, and tags that move."""

    def __init__(self, simulation: Simulation, chance: Random) -> None:
        self.simulation = simulation
        self.chance = chance
        self.cseqs: dict[tuple[bytes, bytes], int] = {}
        self.pause_ms = chance.choice((8, 25, 80))
        self.lives_s = (LONG_S, LONG_S, LONG_S, max(2, simulation.shape.ms(12_000) // 1000))
        self.end = 0

    def begin(self, end: int) -> None:
        """From now until `end`."""
        self.end = end
        self.simulation.at(self.simulation.now + 5, self._next)

    def _next(self) -> None:
        simulation, chance = self.simulation, self.chance
        if simulation.now >= self.end:
            return
        pause = 1 + int(2 * self.pause_ms * chance.random())
        simulation.at(simulation.now + pause, self._next)
        number = 1 + int(len(simulation.nodes) * chance.random())
        action = chance.random()
        node = simulation.nodes[number]
        if not node.alive:
            return
        if action < 0.52:
            self._register(node)
        elif action < 0.65:
            self._unregister(node)
        elif action < 0.68:
            self._unregister_all(node)
        elif action < 0.87:
            key = self._hot(CALLS)
            version = node.change_call(key, simulation.now)
            simulation.say("call {!r} at {}: {:x}", key, number, version)
        elif action < 0.90:
            key = chance.choice(GATEWAYS)
            version = node.change_destination(key, simulation.now)
            simulation.say("gateway {!r} at {}: {:x}", key, number, version)
        elif action < 0.94:
            self._count(node)
        elif action < 0.97:
            self._move_tag(node)
        else:
            node.sweep(simulation.now)
        if simulation.now >= node.paused_until:
            simulation.wake(node, simulation.now + 1)

    def _hot(self, names: list[bytes]) -> bytes:
        """Some names are asked for far more often than others."""
        return names[int(len(names) * self.chance.random() ** 2)]

    def _register(self, node: Node) -> None:
        aor, contact = self._hot(AORS), self._hot(CONTACTS)
        life = self.chance.choice(self.lives_s) if contact != CONTACTS[-1] else 0
        cseq = self.cseqs[aor, contact] = self.cseqs.get((aor, contact), 0) + 1
        version = node.register(aor, contact, cseq, life, self.simulation.now)
        self.simulation.say("register {!r} {!r} at {}: {:x}", aor, contact, node.number, version)
        part = (LOCATION, aor, contact)
        self.simulation.invariants.registered(node, part, cseq, version)

    def _unregister(self, node: Node) -> None:
        aor, contact = self._hot(AORS), self._hot(CONTACTS)
        cseq = self.cseqs[aor, contact] = self.cseqs.get((aor, contact), 0) + 1
        version = node.unregister(aor, contact, cseq, self.simulation.now)
        self.simulation.say("unregister {!r} {!r} at {}: {:x}", aor, contact, node.number, version)

    def _unregister_all(self, node: Node) -> None:
        aor = self._hot(AORS)
        version = node.unregister_all(aor, self.simulation.now)
        self.simulation.say("unregister {!r} * at {}: {:x}", aor, node.number, version)

    def burst(self, node: Node, size: int) -> None:
        """More changes at once than the change ring holds."""
        if node.alive:
            for _ in range(size):
                self._register(node)

    def _count(self, node: Node) -> None:
        kind = self.chance.choice((PROFILE, PIPE))
        count = self.chance.randint(0, 5)
        node.brain.counts.put(kind, self.chance.choice((b"trunk", b"alice")), count)

    def _move_tag(self, node: Node) -> None:
        simulation = self.simulation
        wall = node.wall(simulation.now)
        name = self.chance.choice(("vip", "vip2"))
        if self.chance.random() < 0.3:
            epoch = node.brain.step_down(name, simulation.now, wall)
        else:
            epoch = node.brain.activate(name, simulation.now, wall)
        simulation.say("tag {} at {}: {:x}", name, node.number, epoch)
