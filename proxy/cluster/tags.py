"""Sharing tags: which node acts (R13). OpenSIPS' name, its states and its commands.

Every node boots as backup; only an operator or the virtual IP's hook makes one active. Each
activation has an epoch of its own: milliseconds above all epochs seen, and the node in the lowest
16 bits, so that no two nodes can ever act under the same one. The higher epoch wins.
"""

from __future__ import annotations

from dataclasses import dataclass

NODE_BITS = 16
NODE_MASK = 0xFFFF
ACTIVE = "active"
BACKUP = "backup"


@dataclass(frozen=True, slots=True)
class Tag:
    """What is known of one tag: its last epoch, and who was given it then (0: nobody)."""

    epoch: int = 0
    holder: int = 0


class Tags:
    """The tags of one cluster as this node sees them."""

    def __init__(self, node: int, names: tuple[str, ...], max_lead_ms: int) -> None:
        self.node = node
        self.max_lead_ms = max_lead_ms
        self.rejected = 0
        self._tags = {name: Tag() for name in names}

    @property
    def names(self) -> tuple[str, ...]:
        """The tags of the configuration."""
        return tuple(self._tags)

    def get(self, name: str) -> Tag:
        """What is known of a tag; KeyError when the configuration has no such tag."""
        return self._tags[name]

    def acts(self, name: str) -> bool:
        """Whether this node is the one that acts for a tag; never for a tag nobody configured."""
        tag = self._tags.get(name)
        return tag is not None and tag.holder == self.node

    def state(self, name: str) -> str:
        """OpenSIPS' word for it."""
        return ACTIVE if self.acts(name) else BACKUP

    def activate(self, name: str, wall: int) -> int:
        """Make this node active, under a new epoch."""
        return self._claim(name, wall, self.node)

    def restore(self, name: str, epoch: int, holder: int) -> None:
        """Go on with what was known before the clusterer died.

        No new epoch: whoever was activated meanwhile keeps the tag.
        """
        if name in self._tags and self.is_newer(epoch, self._tags[name].epoch):
            self._tags[name] = Tag(epoch, holder)

    def step_down(self, name: str, wall: int) -> int:
        """This node has lost what made it active, its virtual IP: nobody acts until one is told to.

        Nothing happens unless it was active.
        """
        return self._claim(name, wall, 0) if self.acts(name) else self._tags[name].epoch

    def _claim(self, name: str, wall: int, holder: int) -> int:
        stamp = max(wall, (self._tags[name].epoch >> NODE_BITS) + 1)
        self._tags[name] = Tag(stamp << NODE_BITS | self.node, holder)
        return self._tags[name].epoch

    def hear(self, name: str, epoch: int, holder: int, wall: int, lead_ms: int = 0) -> bool:
        """A peer's word about a tag; whether it changed what this node does or knows.

        `lead_ms` is how far ahead of our clock it may be, when that is more than usual.
        """
        tag = self._tags.get(name)
        if tag is None or not self.is_newer(epoch, tag.epoch):
            return False
        latest = wall + max(self.max_lead_ms, lead_ms)
        if epoch >> NODE_BITS > latest or holder not in (0, epoch & NODE_MASK):
            self.rejected += 1
            return False
        self._tags[name] = Tag(epoch, holder)
        if holder == self.node:
            # What this node was before it was started anew: nobody made it active since.
            self._claim(name, wall, 0)
        return True

    def is_newer(self, epoch: int, known: int) -> bool:
        """The one rule: the higher epoch wins."""
        return epoch > known

    def told(self) -> list[tuple[str, int, int]]:
        """(name, epoch, holder) of every tag that ever had a holder, for the peers."""
        return [(name, tag.epoch, tag.holder) for name, tag in self._tags.items() if tag.epoch]
