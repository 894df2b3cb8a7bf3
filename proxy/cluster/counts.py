"""Counts that several nodes share: calls per profile, requests per rate-limit pipe.

A node tells its own counts as they are, never as plus or minus one, so nothing can drift and
nothing goes below zero. The cluster's count is the sum over nodes. What a node has not repeated for
ten seconds is no longer counted (OpenSIPS' repl_prof_timeout); a new incarnation begins at nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice

from proxy.limits import bounds

Name = tuple[int, bytes]  # kind, name
PROFILE = 1
PIPE = 2


Told = tuple[int, int, bytes]  # node, kind, name


@dataclass(slots=True)
class _Slot:
    """One peer's counts: name to (count, stamp, heard at)."""

    epoch: int = 0
    counts: dict[Name, tuple[int, int, int]] = field(default_factory=dict)


class Counts:
    """This node's counts, and what its peers said of theirs."""

    def __init__(self, expire_ms: int) -> None:
        self.expire_ms = expire_ms
        self.own: dict[Name, int] = {}
        self.refused = 0
        self.disabled: set[int] = set()  # kinds an operator took out
        self._changed: dict[Name, int] = {}
        self._gone: set[Name] = set()  # not ours any more; told once more, as a frame may get lost
        self._slots: dict[int, _Slot] = {}
        # What peers have said since anybody asked, in order: new counts, and old ones once more.
        self._news: dict[Told, None] = {}
        self._repeats: dict[Told, None] = {}

    def put(self, kind: int, name: bytes, count: int) -> None:
        """Our own count is this now."""
        if count < 0:
            raise ValueError("a count is never below zero")
        if kind in self.disabled:
            count = 0
        if self.own.get((kind, name), 0) == count:
            return
        if count:
            self.own[kind, name] = count
        else:
            self.own.pop((kind, name), None)
            self._gone.add((kind, name))
        self._changed[kind, name] = count

    def changed(self) -> list[tuple[int, bytes, int]]:
        """What changed since this was asked last."""
        found = [(kind, name, count) for (kind, name), count in self._changed.items()]
        self._changed.clear()
        return found

    def all_own(self) -> list[tuple[int, bytes, int]]:
        """Everything of ours, and what has gone since this was asked last."""
        told = {**dict.fromkeys(self._gone, 0), **self.own}
        self._changed.clear()
        self._gone.clear()
        return [(kind, name, count) for (kind, name), count in told.items()]

    def hear(
        self, node: int, epoch: int, stamp: int, told: list[tuple[int, bytes, int]], now: int
    ) -> None:
        """A peer's counts of incarnation `epoch`; the higher stamp is the later."""
        slot = self._slots.setdefault(node, _Slot(epoch))
        if epoch < slot.epoch:
            return
        if epoch > slot.epoch:
            slot.epoch = epoch
            self.drop(node)
        for kind, name, count in told:
            if kind in self.disabled:
                continue
            old = slot.counts.get((kind, name))
            if old is not None and old[1] >= stamp:
                continue
            if old is None and len(slot.counts) >= bounds.COUNTS_PER_NODE:
                self.refused += 1
                continue
            slot.counts[kind, name] = (count, stamp, now)
            same = old is not None and old[0] == count
            (self._repeats if same else self._news)[node, kind, name] = None

    def set_enabled(self, kind: int, enabled: bool) -> None:
        """Neither tell nor take counts of a kind, or do so again (clusterer_set_cap_status)."""
        if enabled:
            self.disabled.discard(kind)
            return
        self.disabled.add(kind)
        for known, name in list(self.own):
            self.put(known, name, self.own[known, name])
        for node, slot in self._slots.items():
            self._forget(node, [told for told in slot.counts if told[0] == kind])

    def drop(self, node: int) -> None:
        """A node has left, or another acts for its calls: its counts end at once."""
        if node in self._slots:
            self._forget(node, list(self._slots[node].counts))

    def sweep(self, now: int) -> None:
        """Forget what was not repeated in time."""
        for node, slot in self._slots.items():
            over = [n for n, told in slot.counts.items() if now - told[2] >= self.expire_ms]
            self._forget(node, over)

    def _forget(self, node: int, names: list[Name]) -> None:
        counts = self._slots[node].counts
        for kind, name in names:
            del counts[kind, name]
            self._news[node, kind, name] = None

    def take_news(self, limit: int, now: int) -> list[tuple[int, int, bytes, int]]:
        """(node, kind, name, count) of what peers have said, at most `limit`, what is new first."""
        found: list[tuple[int, int, bytes, int]] = []
        for news in (self._news, self._repeats):
            for told in list(islice(news, limit - len(found))):
                del news[told]
                found.append((*told, self.of(*told, now)))
        return found

    def of(self, node: int, kind: int, name: bytes, now: int) -> int:
        """A peer's count, 0 when it is not known or too old."""
        slot = self._slots.get(node)
        told = slot.counts.get((kind, name)) if slot is not None else None
        return told[0] if told is not None and now - told[2] < self.expire_ms else 0

    def total(self, kind: int, name: bytes, now: int) -> int:
        """The cluster's count."""
        peers = sum(self.of(node, kind, name, now) for node in self._slots)
        return self.own.get((kind, name), 0) + peers
