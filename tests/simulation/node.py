"""A simulated node: a clock that may be wrong, tables that may be lost, and the real brain."""

from __future__ import annotations

from random import Random
from struct import Struct

from proxy.cluster import merge
from proxy.cluster.cluster import Cluster
from proxy.cluster.hlc import HybridClock
from proxy.cluster.settings import Settings
from proxy.registrar.binding import Binding, decode, encode
from proxy.registrar.layout import ALL_CONTACTS, REMOVED
from tests.simulation.calls import next_record
from tests.simulation.store import DESTINATIONS, DIALOGS, FORMS, LOCATION, MemoryStore

RING = 48  # small, so that bursts overrun it
EPOCH_WALL_MS = 1_700_000_000_000
DID = Struct("<QIHH")


class Node:
    """One server of the cluster."""

    def __init__(self, settings: Settings, chance: Random) -> None:
        self.settings = settings
        self.number = settings.node
        self.chance = chance
        self.skew_ms = 0
        self.incarnation = 0
        self.alive = False
        self.paused_until = 0
        self.slow_ms = 0
        self.inbox: list[bytes] = []
        self.wakes_at = -1
        self.store = MemoryStore(RING)
        self.edge = HybridClock()  # of the workers, which hear nothing from peers but records
        self.invites = 0
        self.brain: Cluster

    def wall(self, now: int) -> int:
        """What this node's clock on the wall shows."""
        return EPOCH_WALL_MS + now + self.skew_ms

    def boot(self, now: int, keep: bool) -> None:
        """Start, with the tables as they were or with empty ones."""
        synced = keep and self.incarnation > 0 and self.brain.comparison.baseline
        if not keep:
            self.store = MemoryStore(RING)
        self.store.notes.clear()
        self.store.overrun = False
        self.edge = HybridClock()
        self.incarnation += 1
        self.alive = True
        self.inbox.clear()
        self.paused_until = 0
        clock = HybridClock(self.settings.max_lead_ms)
        self.brain = Cluster(self.settings, self.store, clock, self.incarnation, synced)

    # -- the edge: what workers do -----------------------------------------------------------------

    def register(self, aor: bytes, contact: bytes, cseq: int, life_s: int, now: int) -> int:
        """A REGISTER with one contact; its version."""
        expires = self.wall(now) // 1000 + life_s if life_s else 0
        return self._bind(aor, contact, cseq, expires, 0, now)

    def unregister(self, aor: bytes, contact: bytes, cseq: int, now: int) -> int:
        """A REGISTER that removes a contact, which may have been heard of elsewhere only."""
        return self._bind(aor, contact, cseq, 1, REMOVED, now)

    def unregister_all(self, aor: bytes, now: int) -> int:
        """`Contact: *`: whatever is registered here or elsewhere."""
        return self._bind(aor, ALL_CONTACTS, 0, 1, REMOVED, now)

    def _bindings(self, aor: bytes) -> list[Binding]:
        body = self.store.fetch(LOCATION, aor)
        return decode(body) if body is not None else []

    def _bind(
        self, aor: bytes, contact: bytes, cseq: int, expires: int, flags: int, now: int
    ) -> int:
        stored = self._bindings(aor)
        floor = max((one.version for one in stored), default=0)
        fresh = Binding(contact, b"" if flags else b"call-" + contact, 0 if flags else cseq)
        fresh.version = self.edge.tick(self.wall(now), floor)
        fresh.origin = self.number
        fresh.expires = expires
        fresh.flags = flags
        others = [] if contact == ALL_CONTACTS else stored
        self.write_bindings(aor, [one for one in others if one.contact != contact], fresh)
        return fresh.version

    def write_bindings(self, aor: bytes, others: list[Binding], fresh: Binding) -> None:
        """Commit a record: the seam where a mutation loses tombstones."""
        self.store.commit(LOCATION, aor, encode([*others, fresh]), "edge")

    def change_call(self, key: bytes, now: int) -> int:
        """An INVITE comes, is answered, changes, ends, has its record written; the version."""
        body = self.store.fetch(DIALOGS, key)
        version = self._next_version(DIALOGS, body, now)
        self.invites += 1
        did = DID.pack(self.invites, self.incarnation, self.number, 0)
        made = next_record(body, self.chance.random(), version, self.number, did)
        self.write_call(key, made)
        return version

    def write_call(self, key: bytes, body: bytes) -> None:
        """Commit a record: another such seam."""
        self.store.commit(DIALOGS, key, body, "edge")

    def change_destination(self, key: bytes, now: int) -> int:
        """A gateway has another state, or is none any more; the version."""
        body = self.store.fetch(DESTINATIONS, key)
        version = self._next_version(DESTINATIONS, body, now)
        if body is not None and merge.payload_of(body) is not None and self.chance.random() < 0.3:
            self.write_destination(key, merge.tombstone(version, self.number))
        else:
            payload = b"%d" % int(3 * self.chance.random())
            self.write_destination(key, merge.make(version, self.number, payload))
        return version

    def write_destination(self, key: bytes, body: bytes) -> None:
        """Commit a record: the last such seam."""
        self.store.commit(DESTINATIONS, key, body, "edge")

    def _next_version(self, table: int, body: bytes | None, now: int) -> int:
        floor = 0 if body is None else FORMS[table].newest(body)
        return self.edge.tick(self.wall(now), floor)

    def sweep(self, now: int) -> None:
        """The timekeeper: what ran out goes, and so do tombstones that nobody needs."""
        replication = self.brain.replication
        horizon = replication.horizon(self.wall(now))
        settled = horizon._replace(before=replication.settled_before())
        for (table, key), body in list(self.store.records.items()):
            kept = FORMS[table].prune(body, *(settled if table == DIALOGS else horizon))
            if kept is not body:
                self.store.commit(table, key, kept, "swept")
