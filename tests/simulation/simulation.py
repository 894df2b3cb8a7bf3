"""One run: a seed in, a verdict out. The same seed always gives the same trace.

First come faults, and nothing may be broken by them. Then all faults end, and within ten seconds
every node has to be synced and to hold the same.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from proxy.cluster.backlog import notes_in
from proxy.cluster.frames import Frame
from proxy.cluster.link import Link
from proxy.cluster.messages import Kind
from proxy.cluster.settings import Settings
from tests.simulation import faults, shape
from tests.simulation.invariants import Invariants, Violation
from tests.simulation.network import Network, Way
from tests.simulation.node import Node
from tests.simulation.store import FORMS
from tests.simulation.trace import Trace
from tests.simulation.workload import Workload

HEALED_MS = 10_000
WRITING_MS = 1_500  # of the healed phase: snapshots have to end under writes
LOOK_MS = 500
INBOX = 1_000  # frames that wait for a node that stands still


@dataclass
class Outcome:
    """What came of a run."""

    seed: int
    nodes: int
    failure: str = ""
    trace_sum: str = ""
    faults: list[faults.Fault] = field(default_factory=list)
    injected: Counter[str] = field(default_factory=Counter)
    met: Counter[str] = field(default_factory=Counter)  # what the nodes counted
    trace: list[str] = field(default_factory=list)
    events: int = 0


class Simulation:
    """A cluster under one seed; `without` are the faults to leave out, by number."""

    def __init__(self, seed: int, without: frozenset[int] = frozenset()) -> None:
        self.seed = seed
        chance = Random(f"shape {seed}")
        self.shape = shape.draw(chance)
        numbers = list(range(1, self.shape.nodes + 1))
        self.now = 0
        self.queue: dict[int, list[tuple[Callable[..., None], tuple[object, ...]]]] = {}
        late_ms = self.shape.ms(900)
        self.network = Network(numbers, late_ms, Random(f"network {seed}"), self.at)
        self.network.deliver = self.deliver
        self.nodes: dict[int, Node] = {}
        pace = self.shape.pace
        for number in numbers:
            settings = Settings(
                node=number,
                peers=tuple(n for n in numbers if n != number),
                tables=tuple(FORMS),
                seed=number == 1,
                tags=("vip", "vip2"),
                pace=pace,
                max_lead_ms=self.shape.ms(3_000),
                window=chance.choice((2, 8, 32)),
                backlog=chance.choice((24, 256)),
            )
            self.nodes[number] = Node(settings, Random(f"node {seed} {number}"))
        self.invariants = Invariants(self.nodes)
        self.workload = Workload(self, Random(f"work {seed}"))
        drawn = faults.draw(Random(f"faults {seed}"), self.shape)
        self.faults = [fault for index, fault in enumerate(drawn) if index not in without]
        self.fault_chance = Random(f"depth {seed}")
        self.trace = Trace()
        self.injected: Counter[str] = Counter()
        self.met: Counter[str] = Counter()
        self.handled = 0

    # -- time --------------------------------------------------------------------------------------

    def at(self, when: int, call: Callable[..., None], *arguments: object) -> None:
        """Call later, or in this millisecond."""
        self.queue.setdefault(max(when, self.now), []).append((call, arguments))

    def run_until(self, end: int) -> None:
        """Everything that is due before `end`."""
        for now in range(self.now, end):
            calls = self.queue.get(now)
            if calls is None:
                continue
            self.now = self.invariants.now = now
            for call, arguments in calls:  # it may grow meanwhile
                call(*arguments)
            self.handled += len(calls)
            del self.queue[now]
        self.now = self.invariants.now = end

    def say(self, form: str, *values: object) -> None:
        """One line of the trace."""
        self.trace.say(self.now, form, *values)

    # -- nodes -------------------------------------------------------------------------------------

    def boot(self, node: Node, keep: bool) -> None:
        """A node starts or starts again."""
        self.say("boot {} {}", node.number, "kept" if keep else "empty")
        self._tally(node)
        node.boot(self.now, keep)
        self.invariants.booted(node, keep)
        self._observe(node)
        node.wakes_at = -1
        self.wake(node, self.now)

    def _tally(self, node: Node) -> None:
        """What an incarnation went through."""
        if node.incarnation:
            for name, count in node.brain.wire.tallies.items():
                self.met[name] += count

    def _observe(self, node: Node) -> None:
        """Let the checks see what the brain does."""
        brain = node.brain
        replication = brain.replication
        extend = replication.backlog.extend
        skip = replication.backlog.skip
        checks = self.invariants

        def noted(notes: bytes, count: int) -> None:
            for note in notes_in(notes, 0, count):
                checks.noted(node, *note)
            extend(notes, count)

        def skipped() -> None:
            checks.log[node.number, node.incarnation].append({})
            replication.backlog.extend = extend  # type: ignore[method-assign]
            skip()
            replication.backlog.extend = noted  # type: ignore[method-assign]

        replication.backlog.extend = noted  # type: ignore[method-assign]
        replication.backlog.skip = skipped  # type: ignore[method-assign]
        for kind, handler in list(brain._handlers.items()):
            brain._handlers[kind] = self._checked(node, kind, handler)

    def _checked(
        self, node: Node, kind: int, handler: Callable[[Link, Frame, int, int], None]
    ) -> Callable[[Link, Frame, int, int], None]:
        checks = self.invariants
        comparison = node.brain.comparison

        def call(link: Link, frame: Frame, now: int, wall: int) -> None:
            checks.heard(node, frame.sender, frame.epoch)
            handler(link, frame, now, wall)

        def call_data(link: Link, frame: Frame, now: int, wall: int) -> None:
            following = link.following
            before = following.position
            call(link, frame, now, wall)
            if following.position > before:
                checks.moved(node, link.peer, following.epoch, before, following.position)

        def call_end(link: Link, frame: Frame, now: int, wall: int) -> None:
            pull = comparison.pull
            taken = node.brain.wire.tallies["snapshots"]
            call(link, frame, now, wall)
            if node.brain.wire.tallies["snapshots"] > taken and pull is not None:
                checks.took_snapshot(node, pull.donor, pull.question)

        return {Kind.DATA: call_data, Kind.SNAPSHOT_END: call_end}.get(Kind(kind), call)

    def wake(self, node: Node, when: int) -> None:
        """See to it that a node looks at its frames and its timers at `when` at the latest."""
        when = max(when + node.slow_ms, self.now, node.paused_until)
        if node.alive and (node.wakes_at < 0 or when < node.wakes_at):
            node.wakes_at = when
            self.at(when, self._turn, node, node.incarnation, when)

    def _turn(self, node: Node, incarnation: int, when: int) -> None:
        if not node.alive or node.incarnation != incarnation or node.wakes_at != when:
            return
        node.wakes_at = -1
        if self.now < node.paused_until:
            self.wake(node, node.paused_until)
            return
        wall = node.wall(self.now)
        inbox, node.inbox = node.inbox, []
        for data in inbox:
            node.brain.step(data, self.now, wall)
        comparison = node.brain.comparison
        serving = comparison.serving
        again = node.brain.tick(self.now, wall)
        if comparison.serving is not serving and comparison.serving is not None:
            began = comparison.serving
            self.invariants.began_snapshot(node, began.peer, began.question)
        for hop, _channel, data in node.brain.ready():
            self.network.send(self.now, node.number, hop, data)
        for event, detail in node.brain.events():
            self.say("node {}: {}: {}", node.number, event, detail)
        self.invariants.looked_at(node)
        self.wake(node, max(again, self.now + 1))

    def deliver(self, source: int, target: int, data: bytes) -> None:
        """A frame arrives, if there is anybody to take it."""
        self.trace.frame(self.now, source, target, data)
        node = self.nodes[target]
        if node.alive and len(node.inbox) < INBOX:
            node.inbox.append(data)
            self.wake(node, self.now + 1)

    # -- faults ------------------------------------------------------------------------------------

    def inject(self, fault: faults.Fault) -> None:
        """A fault begins; its end is put on the queue."""
        self.say("fault {}", fault)
        self.injected[fault.kind] += 1
        node = self.nodes[fault.node]
        there = self.network.ways[fault.node, fault.other]
        back = self.network.ways[fault.other, fault.node]
        ms = self.shape.ms
        around = [way for ends, way in self.network.ways.items() if fault.node in ends]
        match fault.kind:
            case "loss":
                there.loss = back.loss = 0.6 * fault.size
            case "repeat":
                there.repeat = 0.5 * fault.size
            case "reorder":
                there.late = 0.3 * fault.size
            case "delay":
                there.most_ms = back.most_ms = 1 + ms(400 * fault.size)
            case "partition":
                self._cut([there, back], fault)
            case "one-way":
                self._cut([there], fault)
            case "isolate":
                self._cut(around, fault)
            case "clog":
                self._clog([there, back] if fault.size < 0.5 else around, fault)
            case "crash" | "crash-empty":
                self._crash(node, fault)
            case "skew":
                node.skew_ms = ms(4_000 * fault.size - 2_000)
            case "far-skew":
                node.skew_ms = ms(3_500 + 2_000 * fault.size)  # more than a peer may lead
                self.at(fault.until, setattr, node, "skew_ms", 0)
            case "corrupt":
                there.corrupt = 0.3 * fault.size
            case "pause":
                node.paused_until = max(node.paused_until, fault.until)
            case "slow":
                node.slow_ms = ms(150 * fault.size)
            case "burst":
                self.workload.burst(node, 20 + int(80 * fault.size))

    def _cut(self, ways: list[Way], fault: faults.Fault) -> None:
        for way in ways:
            way.cut += 1
            self.at(fault.until, self._mend, way)

    def _mend(self, way: Way) -> None:
        way.cut = max(0, way.cut - 1)

    def _clog(self, ways: list[Way], fault: faults.Fault) -> None:
        for way in ways:
            way.clogged += 1
            end = fault.at + int(
                (fault.until - fault.at) * (0.3 + 0.7 * self.fault_chance.random())
            )
            self.at(end, self._unclog, way)

    def _unclog(self, way: Way) -> None:
        way.clogged = max(0, way.clogged - 1)
        if not way.clogged:
            self.network.release(self.now, way)

    def _crash(self, node: Node, fault: faults.Fault) -> None:
        if node.alive:
            node.alive = False
            self.at(fault.until, self._restart, node, fault.kind == "crash")

    def _restart(self, node: Node, keep: bool) -> None:
        if not node.alive:
            self.boot(node, keep)

    def heal(self) -> None:
        """All faults end."""
        self.say("heal")
        self.network.heal(self.now)
        for node in self.nodes.values():
            node.skew_ms = node.slow_ms = node.paused_until = 0
            if not node.alive:
                self.boot(node, True)
            self.wake(node, self.now)

    # -- the run -----------------------------------------------------------------------------------

    def run(self) -> Outcome:
        """Both phases, and the verdict."""
        outcome = Outcome(self.seed, len(self.nodes), faults=self.faults)
        try:
            self._run()
        except Violation as violation:
            outcome.failure = f"{self.now} ms: {violation}"
            self.say("{}", outcome.failure)
        outcome.trace_sum = self.trace.sum
        outcome.injected = self.injected
        for name in ("lost", "repeated", "reordered", "held", "corrupted"):
            outcome.injected[f"frames {name}"] = getattr(self.network, name)
        for node in self.nodes.values():
            self._tally(node)
        outcome.met = self.met
        if outcome.failure:
            outcome.trace = self.trace.lines()
        outcome.events = self.handled
        return outcome

    def _run(self) -> None:
        for node in self.nodes.values():
            self.boot(node, False)
        ms = self.shape.ms
        faulty, writing = ms(self.shape.faulty), ms(WRITING_MS)
        self.workload.begin(faulty + writing)
        for fault in self.faults:
            self.at(fault.at, self.inject, fault)
        self.run_until(faulty)
        self.heal()
        self.run_until(faulty + writing)
        deadline = faulty + ms(HEALED_MS)
        while True:
            self.run_until(self.now + ms(LOOK_MS))
            why = self.unsettled()
            if not why:
                return
            if self.now >= deadline:
                raise Violation(f"liveness: {why}")

    def unsettled(self) -> str:
        """What is not as it should be once all is well; empty when all is."""
        nodes = list(self.nodes.values())
        for node in nodes:
            if not node.brain.comparison.is_synced():
                return f"node {node.number} is not synced: {node.brain.comparison.why()}"
        missing = [text for text in map(self.invariants.missing, nodes) if text]
        if missing:
            return missing[0]
        return self.invariants.differences(nodes) or self._tags() or self._counts()

    def _tags(self) -> str:
        for name in ("vip", "vip2"):
            known = {node.brain.tags.get(name) for node in self.nodes.values()}
            if len(known) > 1:
                return f"I10 the nodes disagree about {name}: {known}"
            acting = [n.number for n in self.nodes.values() if n.brain.tags.acts(name)]
            if len(acting) > 1:
                return f"I10 nodes {acting} act for {name}"
        return ""

    def _counts(self) -> str:
        names = sorted({n for node in self.nodes.values() for n in node.brain.counts.own})
        for kind, name in names:
            due = sum(n.brain.counts.own.get((kind, name), 0) for n in self.nodes.values())
            for node in self.nodes.values():
                total = node.brain.counts.total(kind, name, self.now)
                if total != due:
                    return f"I9 node {node.number} counts {total} of {name!r}, there are {due}"
        return ""


def run(seed: int, without: frozenset[int] = frozenset()) -> Outcome:
    """The whole run of a seed."""
    paused = gc.isenabled()
    gc.disable()  # a run is short, and half its time would go into looking for cycles
    try:
        return Simulation(seed, without).run()
    finally:
        if paused:
            gc.enable()


def shrink(outcome: Outcome) -> Outcome:
    """The same failure with as few faults as it takes, leaving out one after the other."""
    total = len(outcome.faults)
    without: frozenset[int] = frozenset()
    for index in range(total):
        attempt = run(outcome.seed, without | {index})
        if attempt.failure:
            without |= {index}
            outcome = attempt
    return outcome
