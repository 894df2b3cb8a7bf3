"""What must hold in every simulated cluster, by the numbers of docs/replication.md#invariants.

The checks look at the tables and at what was promised, never into how the protocol got there.
"""

from __future__ import annotations

from proxy.cluster.tags import Tag
from tests.simulation.node import EPOCH_WALL_MS, Node
from tests.simulation.parts import Part, Rank, State, parts_of

Cut = dict[Part, State]
GRACE_S = 5
NOTHING: Rank = ()  # below every other


class Violation(AssertionError):
    """An invariant does not hold; the text begins with its number."""


class Invariants:
    """Everything that was promised so far in one run."""

    def __init__(self, nodes: dict[int, Node]) -> None:
        self.nodes = nodes
        self.now = 0
        self.issued: dict[Part, dict[Rank, list[State]]] = {}
        self.givers: dict[tuple[Part, Rank], int] = {}
        self.true_expiry: dict[tuple[Part, Rank], int] = {}
        self.ran_out: set[tuple[int, Part, Rank]] = set()  # on which node, by its clock at a time
        self.floor: dict[Part, Rank] = {}  # the least that must survive
        self.highest: dict[int, dict[Part, State]] = {number: {} for number in nodes}
        self.cuts: dict[tuple[int, int, int], Cut] = {}
        self.cseqs: dict[tuple[int, Part], tuple[int, int]] = {}
        self.tag_actors: dict[int, int] = {}
        self.tags: dict[tuple[int, int, str], Tag] = {}
        self.epochs: dict[tuple[int, int], int] = {}  # highest epoch a node heard of another
        self.log: dict[tuple[int, int], list[Cut]] = {}  # what each change of a node was

    # -- what happens ------------------------------------------------------------------------------

    def booted(self, node: Node, kept: bool) -> None:
        """A node starts; with empty tables it has promised nothing any more."""
        number = node.number
        # A clock that went back while its node was away is held up by what the tables still have.
        self.cseqs = {place: last for place, last in self.cseqs.items() if place[0] != number}
        self.epochs = {pair: e for pair, e in self.epochs.items() if pair[0] != number}
        if not kept:
            lost = self.highest[number]
            self.highest[number] = {}
            self._lower_floors(lost)
        self.log[number, node.incarnation] = []
        node.store.watch = lambda *change: self.committed(node, *change)

    def _lower_floors(self, lost: dict[Part, State]) -> None:
        """What only the lost tables held need not survive."""
        for part, state in lost.items():
            if self.floor.get(part, NOTHING) > state.rank:
                continue
            seen = [held[part].rank for held in self.highest.values() if part in held]
            self.floor[part] = max(seen, default=NOTHING)

    def committed(
        self, node: Node, table: int, key: bytes, old: bytes | None, new: bytes | None, why: str
    ) -> None:
        """A record of a node changed: nothing goes back, nothing is made up, nothing ends early."""
        before = parts_of(table, key, old)
        after = parts_of(table, key, new)
        if why == "swept":
            for part, state in before.items():
                if after.get(part) != state:
                    self.ran_out.add((node.number, part, state.rank))
                    self._swept(node, part, state)
            return
        seen = self.highest[node.number]
        for part, state in after.items():
            if before.get(part) == state:
                continue
            if why == "edge":
                self._issue(part, state, node)
            elif state not in self.issued.get(part, {}).get(state.rank, ()):
                raise Violation(f"I6 node {node.number} holds {state} of {part}: nobody made it")
            held = seen.get(part)
            if held is None or state.rank > held.rank:
                seen[part] = state
                if state.rank > self.floor.get(part, NOTHING):
                    self.floor[part] = state.rank
            elif state.rank < held.rank and (held.removed or self._lives(node, part, held)):
                raise Violation(f"I2 node {node.number} went back from {held} to {state}: {part}")

    def _issue(self, part: Part, state: State, node: Node) -> None:
        states = self.issued.setdefault(part, {}).setdefault(state.rank, [])
        # A node that lost its tables and whose clock went back may give a version once more.
        if states and self.givers[part, state.rank] == node.incarnation:
            raise Violation(f"I4 version {state.rank} of {part} was given twice")
        self.givers[part, state.rank] = node.incarnation
        states.append(state)
        if state.expires:
            life_ms = 1000 * state.expires - node.wall(self.now)
            self.true_expiry[part, state.rank] = self.now + life_ms

    def _lives(self, node: Node, part: Part, state: State) -> bool:
        """Whether it has not run out; a clock that went back makes nothing undone."""
        if (node.number, part, state.rank) in self.ran_out:
            return False
        grace_s = 0 if state.origin == node.number else GRACE_S
        return state.expires == 0 or state.expires + grace_s > node.wall(self.now) // 1000

    def _swept(self, node: Node, part: Part, state: State) -> None:
        """I5: a live record is never taken before it ran out on its owner's clock.

        On that clock as it was when the record was made, and as it is now: it may have been set.
        """
        expires_at = self.true_expiry.get((part, state.rank))
        if state.removed or expires_at is None:
            return
        owner = self.nodes.get(state.origin)
        if owner is not None:
            expires_at = min(expires_at, self.now + 1000 * state.expires - owner.wall(self.now))
        if self.now + 1000 < expires_at and abs(node.skew_ms) <= 2000:
            early = expires_at - self.now
            raise Violation(f"I5 node {node.number} dropped {part} {early} ms too early")

    def registered(self, node: Node, part: Part, cseq: int, version: int) -> None:
        """I4: at one edge, a higher CSeq has a higher version."""
        last = self.cseqs.get((node.number, part))
        if last is not None and cseq > last[0] and version <= last[1]:
            raise Violation(f"I4 CSeq {cseq} of {part} got version {version} after {last}")
        self.cseqs[node.number, part] = (cseq, version)

    # -- what the protocol says --------------------------------------------------------------------

    def noted(self, node: Node, table: int, key: bytes) -> None:
        """A change has got its position in a node's stream."""
        state = parts_of(table, key, node.store.fetch(table, key))
        self.log[node.number, node.incarnation].append(state)

    def moved(self, node: Node, peer: int, epoch: int, before: int, after: int) -> None:
        """I7: who says that it has a peer's changes up to a position has them."""
        seen = self.highest[node.number]
        for position in range(before, after):
            for part, state in self.log[peer, epoch][position].items():
                if self._is_wanting(node, seen, part, state):
                    raise Violation(
                        f"I7 node {node.number} says it has {peer}.{epoch}@{position} "
                        f"and lacks {state} of {part}"
                    )

    def _is_wanting(self, node: Node, seen: dict[Part, State], part: Part, state: State) -> bool:
        held = seen.get(part)
        if held is not None and held.rank >= state.rank:
            return False
        if state.removed:
            # A tombstone so old that it deletes nothing any more need not arrive.
            wall = node.wall(self.now)
            return state.version >= node.brain.replication.tombstones_before(wall)
        return self._outlives(state)

    def _outlives(self, state: State) -> bool:
        return state.expires == 0 or 1000 * state.expires > EPOCH_WALL_MS + self.now + 8000

    def heard(self, node: Node, peer: int, epoch: int) -> None:
        """I13: once a new incarnation was heard, nothing of an older one is acted on."""
        highest = self.epochs.get((node.number, peer), 0)
        if epoch < highest:
            raise Violation(f"I13 node {node.number} acts on {peer}.{epoch} after {highest}")
        self.epochs[node.number, peer] = epoch

    def began_snapshot(self, donor: Node, peer: int, question: int) -> None:
        """A donor begins: this is what the other must have in the end.

        A question that is repeated may be served once more; what comes of it may be the first.
        """
        cut: Cut = {}
        for (table, key), body in donor.store.records.items():
            cut |= parts_of(table, key, body)
        self.cuts.setdefault((donor.number, peer, question), cut)

    def took_snapshot(self, node: Node, donor: int, question: int) -> None:
        """I8: who says that a snapshot came whole has all that the donor had."""
        seen = self.highest[node.number]
        for part, state in self.cuts.pop((donor, node.number, question), {}).items():
            if self._is_wanting(node, seen, part, state):
                raise Violation(f"I8 node {node.number} took {donor}'s snapshot, lacks {state}")

    def looked_at(self, node: Node) -> None:
        """I10 one actor per epoch of a tag; I11 nothing grows without bound."""
        brain = node.brain
        for name in ("vip", "vip2"):
            place = (node.number, node.incarnation, name)
            tag = brain.tags.get(name)
            known = self.tags.get(place)
            if tag is not known:
                self._tag_changed(node, place, tag, known.epoch if known is not None else 0)
        backlog = brain.replication.backlog
        if backlog.head - backlog.tail > brain.settings.backlog:
            raise Violation("I11 the backlog is longer than it may be")
        for link in brain.links.values():
            if link.sending.under_way > brain.settings.window:
                raise Violation("I11 more frames are under way than the window allows")

    def _tag_changed(self, node: Node, place: tuple[int, int, str], tag: Tag, known: int) -> None:
        if tag.epoch < known:
            raise Violation(f"I10 node {node.number} went back to epoch {tag.epoch} of {place[2]}")
        self.tags[place] = tag
        if tag.holder == node.number:
            actor = self.tag_actors.setdefault(tag.epoch, node.number)
            if actor != node.number:
                raise Violation(f"I10 nodes {actor} and {node.number} act under epoch {tag.epoch}")

    # -- in the end --------------------------------------------------------------------------------

    def differences(self, nodes: list[Node]) -> str:
        """I1: what the nodes still disagree about, of what has not run out."""
        views = []
        for node in nodes:
            view = {}
            for (table, key), body in node.store.records.items():
                for part, state in parts_of(table, key, body).items():
                    if not state.removed and self._outlives(state):
                        view[part] = state
            views.append(view)
        for node, view in zip(nodes[1:], views[1:], strict=True):
            for part in sorted(views[0].keys() | view.keys()):
                if views[0].get(part) != view.get(part):
                    return (
                        f"I1 {part}: {views[0].get(part)} on node {nodes[0].number}, "
                        f"{view.get(part)} on node {node.number}"
                    )
        return ""

    def missing(self, node: Node) -> str:
        """I2, I3: of each part the newest state that was not lost with its node is there."""
        held: Cut = {}
        for (table, key), body in node.store.records.items():
            held |= parts_of(table, key, body)
        for part, floor in self.floor.items():
            if floor == NOTHING:
                continue
            state = held.get(part)
            due = self.issued[part][floor][-1]
            if state is None and not due.removed and self._outlives(due):
                return f"I3 {part} is gone from node {node.number}; it was {due}"
            if not due.removed and not self._outlives(due):
                continue  # who never heard of it may have its predecessor
            if state is not None and state.rank < floor:
                number = "I2" if due.removed else "I3"
                return f"{number} node {node.number} has {state} of {part} and not {due}"
        return ""
