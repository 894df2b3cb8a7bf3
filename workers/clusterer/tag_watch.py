"""Makes this node act for its sharing tags, and tells the other processes: R13's effects.

A tag with an address follows it: whoever moves the virtual IP decides which node acts. Without one
it waits for `clusterer_shtag_set_active`. What the brains have decided is on the page within the
same turn, and a node that has lost its address steps down before anything else is done.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Final

from proxy.cluster.cluster import Cluster
from proxy.cluster.tags import NODE_MASK, Tag
from proxy.registrar.graves import is_crowded
from proxy.shm.cluster_page import ClusterPage
from workers.child import Child
from workers.clusterer.addresses import Address, AddressWatch

HORIZON_MS: Final = 1_000  # between two looks at what may be forgotten


class TagWatch:
    """The sharing tags of all clusters of this node; `brains` by their clusters' numbers."""

    def __init__(self, child: Child, brains: Mapping[int, Cluster]) -> None:
        page = child.tables.cluster
        assert page is not None
        self._log = child.log
        self._page: ClusterPage = page
        self._location = child.tables.location
        self._brains = brains
        self._addresses: dict[str, Address] = {
            name: ipaddress.ip_address(tag.address)
            for member in child.config.cluster.clusters
            for name, tag in member.tags.items()
            if tag.address is not None
        }
        self._here: dict[str, bool] = {}  # whether a tag's address was, when looked at last
        self._known: set[int] = set()  # clusters whose tags are as they were before a restart
        self._horizon_at = 0
        self._watch = self._open() if self._addresses else None

    def _open(self) -> AddressWatch | None:
        try:
            return AddressWatch()
        except OSError as error:
            # It would be wrong to act, and wrong to stop: the other tags can still be told to.
            self._log.error("addresses cannot be watched", reason=error)
            return None

    @property
    def fd(self) -> int:
        """Readable when addresses have changed; -1 when nobody has to know."""
        return -1 if self._watch is None else self._watch.fd

    def turn(self, now: int, wall: int) -> bool:
        """What addresses and brains have to say, taken to where it has effect.

        True when a tag has changed, which the peers are to hear at once.
        """
        for number, brain in self._brains.items():
            if number not in self._known:
                self._known.add(number)
                self._restore(brain)
        if self._watch is not None:
            self._watch.read()
            if self._watch.table.is_complete:
                self._follow_addresses(self._watch, now, wall)
        changed = self.publish()
        if now >= self._horizon_at:
            self._horizon_at = now + HORIZON_MS
            self._publish_horizon(wall)
        return changed

    def _restore(self, brain: Cluster) -> None:
        """Go on under the epochs of the clusterer that was here before, if there was one."""
        for name in brain.tags.names:
            tag = name.encode()
            epoch = self._page.epoch(tag)
            if epoch:
                brain.tags.restore(name, epoch, former_holder(self._page, tag))
        self._page.set_incarnation(brain.wire.epoch)

    def _follow_addresses(self, watch: AddressWatch, now: int, wall: int) -> None:
        for name, address in self._addresses.items():
            here, was_here = watch.table.has(address), self._here.get(name)
            brain = next((b for b in self._brains.values() if name in b.tags.names), None)
            if brain is None:  # whose nodes the database has yet to name
                self._let_go(name, here)
                continue
            self._here[name] = here
            acts = decide(brain.tags.get(name), brain.settings.node, here, was_here)
            if acts:
                self._log.notice("address came", address=address, tag=name)
                brain.activate(name, now, wall)
            elif acts is not None:
                self._log.warning("address left", address=address, tag=name)
                brain.step_down(name, now, wall)

    def _let_go(self, name: str, here: bool) -> None:
        tag = name.encode()
        if not here and self._page.acts(tag):
            self._log.warning("address left", address=self._addresses[name], tag=name)
            self._page.set_tag(tag, self._page.epoch(tag), False)

    def publish(self) -> bool:
        """Write onto the page what has changed; whether a tag has."""
        page, changed = self._page, False
        for number, brain in self._brains.items():
            for name in brain.tags.names:
                tag, known = name.encode(), brain.tags.get(name)
                acts = brain.tags.acts(name)
                if (page.epoch(tag), page.acts(tag)) != (known.epoch, acts):
                    page.set_tag(tag, known.epoch, acts)
                    changed = True
            synced = brain.comparison.is_synced()
            if page.is_synced(number) != synced:
                page.set_synced(number, synced)
        return changed

    def _publish_horizon(self, wall: int) -> None:
        """The oldest that any cluster needs, and the longest grace."""
        of_tables = [brain for brain in self._brains.values() if brain.settings.tables]
        if of_tables:
            crowded = is_crowded(self._location)
            for brain in of_tables:
                brain.replication.crowded = crowded
            horizons = [brain.replication.horizon(wall) for brain in of_tables]
            self._page.set_horizon(
                min(each.before for each in horizons),
                min(brain.replication.settled_before() for brain in of_tables),
                max(each.grace_s for each in horizons),
            )


def decide(tag: Tag, node: int, here: bool, was_here: bool | None) -> bool | None:
    """Whether a tag with an address becomes active, or backup; None: it stays as it is.

    An address that comes, or is there when the node starts, makes it active; so does one that is
    there while nobody has the tag. Whoever was given it meanwhile, by its own address or by a
    command, keeps it.
    """
    acts = tag.holder == node
    if not here:
        return False if acts else None
    if not acts and (not was_here or tag.holder == 0):
        return True
    return None


def former_holder(page: ClusterPage, tag: bytes) -> int:
    """Who had a tag when the page was written: this node, or whoever's epoch it was."""
    if page.acts(tag):
        return page.node
    claimed_by = page.epoch(tag) & NODE_MASK
    return 0 if claimed_by == page.node else claimed_by
