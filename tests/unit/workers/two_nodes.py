"""Nodes with real tables, a registrar each and the real brain, whose frames are carried by hand."""

from __future__ import annotations

from pathlib import Path

from proxy.cluster.cluster import Cluster
from proxy.cluster.frames import Frame, decode
from proxy.cluster.hlc import HybridClock
from proxy.cluster.messages import Kind
from proxy.cluster.settings import Settings
from proxy.registrar.edit import Editor
from proxy.registrar.expire import Horizon, expire
from proxy.registrar.lookup import lookup
from proxy.registrar.rules import RegistrarRules
from proxy.registrar.save import RegisterResult, save
from proxy.shm.changes import ChangeRing
from proxy.shm.location_table import LocationTable
from proxy.shm.table_ids import LOCATION
from proxy.sip.address import Address
from proxy.sip.message import parse
from workers.clusterer.location import LocationAdapter
from workers.clusterer.store import TableStore

WALL = 1_700_000_000_000
DOMAIN = b"example.com"
LATER = 2  # than the expiry of a tombstone, and than that of no binding


class Node:
    """One server: its table outlives its clusterer, and may outlive the server."""

    def __init__(self, number: int, folder: Path, units: int = 1_024) -> None:
        self.number = number
        self.path = str(folder / f"location-{number}.table")
        self.table = LocationTable.create(self.path, 2_000)
        self.units = units
        self.epoch = 0
        self.rules = RegistrarRules([DOMAIN], node=number, replicated=True)
        self.source = Address.parse(b"198.51.100.7", 5060)
        self.begin()

    def begin(self) -> None:
        """What a supervisor does: a new ring, and clocks that know nothing."""
        self.ring = ChangeRing.create(None, self.units)
        self.table.note_changes(self.ring, LOCATION)
        self.clock = HybridClock()
        self.store: TableStore
        self.brain: Cluster

    def restart(self, keep: bool) -> None:
        """The whole server ends and comes back, with its table or without."""
        self.table.close(clean=True)
        if keep:
            self.table = LocationTable.attach(self.path)
        else:
            Path(self.path).unlink()
            self.table = LocationTable.create(self.path, 2_000)
        self.begin()

    def taken(self, limit: int) -> int:
        """How many changes the store has to tell, or LOST."""
        telling = self.brain.replication.telling
        telling.begin(0)
        return self.store.take(limit, 0, telling)

    def users(self) -> dict[bytes, list[bytes]]:
        """Who is registered where."""
        rows, cursor, found = [], 0, {}
        while True:
            some, cursor = self.table.scan(cursor, 1_000)
            rows += some
            if cursor == 0:
                break
        for key, _ in rows:
            targets = lookup(self.table, key, "", LATER)
            live = sorted(t.uri for t in targets)
            if live:
                found[key] = live
        return found


class Pair:
    """Nodes 1 and 2, one clock, and frames that can be held back."""

    def __init__(self, folder: Path, nodes: int = 2, units: int = 1_024) -> None:
        self.now = 0
        self.cseq = 0
        self.nodes = {n: Node(n, folder, units) for n in range(1, nodes + 1)}
        self.cut: set[int] = set()  # nodes that nobody hears
        self.held: list[tuple[int, bytes]] | None = None  # DATA goes here while it is a list
        for number in self.nodes:
            self.boot(number)

    @property
    def wall(self) -> int:
        return WALL + self.now

    def boot(self, number: int) -> None:
        """A clusterer begins, with what the table has."""
        node = self.nodes[number]
        node.epoch += 1
        node.store = TableStore(node.ring, [LocationAdapter(node.table)])
        peers = tuple(n for n in self.nodes if n != number)
        settings = Settings(number, peers, node.store.tables, seed=number == 1)
        node.brain = Cluster(settings, node.store, HybridClock(), node.epoch)

    def run(self, ms: int, step_ms: int = 10) -> None:
        end = self.now + ms
        while self.now < end:
            self.now += step_ms
            for node in self.nodes.values():
                node.brain.tick(self.now, self.wall)
            for node in self.nodes.values():
                for hop, _, data in node.brain.ready():
                    self.carry(node.number, hop, data)

    def carry(self, source: int, target: int, data: bytes) -> None:
        if source in self.cut or target in self.cut:
            return
        if self.held is not None and decode(data).kind == Kind.DATA:
            self.held.append((target, data))
            return
        self.nodes[target].brain.step(data, self.now, self.wall)

    def release(self) -> list[Frame]:
        """Deliver what was held back, late."""
        held, self.held = self.held or [], None
        for target, data in held:
            self.nodes[target].brain.step(data, self.now, self.wall)
        return [decode(data) for _, data in held]

    def register(
        self, number: int, user: bytes, contact: bytes, expires: int = 3_600
    ) -> RegisterResult:
        """A REGISTER at a node, newer than any before."""
        self.cseq += 1
        uri = b"sip:%b@%b" % (user, DOMAIN)
        text = (
            b"REGISTER sip:%b SIP/2.0\r\nVia: SIP/2.0/UDP 198.51.100.7:5060;branch=z9hG4bK%d\r\n"
            b"Max-Forwards: 70\r\nFrom: <%b>;tag=1\r\nTo: <%b>\r\nCall-ID: c-%b\r\n"
            b"CSeq: %d REGISTER\r\nContact: %b\r\nExpires: %d\r\nContent-Length: 0\r\n\r\n"
        ) % (DOMAIN, self.cseq, uri, uri, user, self.cseq, contact, expires)
        node = self.nodes[number]
        result = save(
            node.table,
            parse(text),
            node.source,
            b"192.0.2.1:5060",
            self.wall // 1_000,
            self.wall,
            node.rules,
            node.clock,
        )
        assert result.status == 200
        return result

    def editor(self, number: int) -> Editor:
        node = self.nodes[number]
        return Editor(node.table, node.rules, node.clock)

    def sweep(self, number: int) -> int:
        """The timekeeper's work."""
        node = self.nodes[number]
        told = node.brain.replication.horizon(self.wall)
        horizon = Horizon(told.node, told.now_s, told.grace_s, told.before)
        keys = [key for key, _ in node.table.scan(0, 10_000)[0]]
        return sum(expire(node.table, key, horizon) for key in keys)

    def roots(self) -> set[int]:
        return {node.brain.replication.digests.root for node in self.nodes.values()}

    def users(self, number: int) -> dict[bytes, list[bytes]]:
        return self.nodes[number].users()

    def close(self) -> None:
        for node in self.nodes.values():
            node.table.close()
