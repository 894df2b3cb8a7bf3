"""Safeguards to switch off, one at a time: a simulator that passes without them sees nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from proxy.cluster import merge
from proxy.cluster.cluster import Cluster
from proxy.cluster.comparison import Comparison
from proxy.cluster.frames import Frame
from proxy.cluster.link import Following, Link
from proxy.cluster.replication import Replication
from proxy.cluster.sync import Pull
from proxy.cluster.tags import Tags
from proxy.dialog.replica import is_buried
from proxy.errors import RestMissing
from proxy.registrar.binding import Binding, encode
from proxy.registrar.layout import REMOVED
from tests.simulation.node import Node
from tests.simulation.store import DESTINATIONS, DIALOGS, LOCATION, MemoryStore

Patch = tuple[type, str, Callable[..., object]]


def _forget_binding(self: Node, aor: bytes, others: list[Binding], fresh: Binding) -> None:
    bindings = others if fresh.flags & REMOVED else [*others, fresh]
    self.store.commit(LOCATION, aor, encode(bindings) if bindings else None, "edge")


def _forget_call(self: Node, key: bytes, body: bytes) -> None:
    self.store.commit(DIALOGS, key, None if is_buried(body) else body, "edge")


def _forget_destination(self: Node, key: bytes, body: bytes) -> None:
    gone = merge.payload_of(body) is None
    self.store.commit(DESTINATIONS, key, None if gone else body, "edge")


def _any_order(self: Following, after: int, upto: int) -> int:
    return 1


def _any_epoch(self: Cluster, link: Link, frame: Frame) -> bool:
    if frame.epoch > link.following.epoch:
        self._begin_anew(link, frame.epoch)
    return True


def _any_tag(self: Tags, epoch: int, known: int) -> bool:
    return epoch != known


def _last_arrival(
    self: MemoryStore, table: int, key: bytes, body: bytes, horizon: object
) -> bytes | None:
    form, ours = self.forms[table], self.records.get((table, key))
    whole = form.restored(body, ours)
    form.mixed = False
    self.was = ours
    if whole is None:
        raise RestMissing("a brief record")
    if ours == whole:
        return None
    self.commit(table, key, whole, "applied")
    return whole


def _any_number(self: Pull, number: int, end: object) -> bool:
    return True


def _no_news(self: Replication, table: int, key: bytes, body: bytes | None) -> bool:
    return False


def _never_ask(self: Comparison, now: int) -> None:
    return None


MUTATIONS: dict[str, list[Patch]] = {
    "tombstones": [
        (Node, "write_bindings", _forget_binding),
        (Node, "write_call", _forget_call),
        (Node, "write_destination", _forget_destination),
    ],
    "sequence": [(Following, "judge", _any_order)],
    "epochs": [(Cluster, "_is_current", _any_epoch)],
    "tag-epochs": [(Tags, "is_newer", _any_tag)],
    "versions": [(MemoryStore, "apply", _last_arrival)],
    "comparison": [(Comparison, "_ask", _never_ask)],
}


@contextmanager
def switched_off(name: str) -> Iterator[None]:
    """The program without one of its safeguards."""
    kept = [(owner, method, owner.__dict__[method]) for owner, method, _ in MUTATIONS[name]]
    for owner, method, instead in MUTATIONS[name]:
        setattr(owner, method, instead)
    try:
        yield
    finally:
        for owner, method, original in kept:
            setattr(owner, method, original)
