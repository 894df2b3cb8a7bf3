"""What one node sent to another, kept in files: later versions have to go on understanding it.

`python -m tests.unit.cluster.tape` records anew, after a change that breaks with the past on
purpose. A line is a kind and the frame, deflated and in Base64; the first says what came of it.
"""

from __future__ import annotations

import base64
import zlib
from pathlib import Path

from proxy.cluster.cluster import Cluster
from proxy.cluster.counts import PROFILE
from proxy.cluster.frames import HEADER_BYTES, decode
from proxy.cluster.hlc import HybridClock
from proxy.cluster.merge import make, tombstone
from proxy.cluster.messages import DATA_HEAD, Kind
from proxy.cluster.settings import Settings, secret_mark
from proxy.registrar.binding import Binding, encode
from proxy.registrar.layout import ALL_CONTACTS, REMOVED
from tests.simulation.calls import next_record
from tests.simulation.store import DESTINATIONS, DIALOGS, FORMS, LOCATION, MemoryStore
from tests.unit.cluster.later import later
from tests.unit.cluster.trio import WALL, Trio

FOLDER = Path(__file__).parent / "streams"
MARK = secret_mark(b"a secret of the nodes", 1)
BEATS = 3  # kept of those that say nothing new
ANSWERS = (Kind.WELCOME, Kind.SNAPSHOT, Kind.SNAPSHOT_END)


class Recorder(Trio):
    """Keeps what node 1 sends to node 2."""

    def __init__(self) -> None:
        self.kept: list[bytes] = []
        super().__init__(mark=MARK, tables=tuple(FORMS))

    def carry(self, source: int, target: int, data: bytes) -> None:
        if source == 1:
            self.kept.append(data)
        super().carry(source, target, data)

    def commit(self, table: int, key: bytes, body: bytes) -> None:
        self.stores[1].commit(table, key, body, "edge")

    def phone(self, user: bytes, contact: bytes, flags: int = 0, flow: int = 0) -> None:
        one = Binding(contact, b"" if flags else b"call-" + user, 0 if flags else 3)
        one.version, one.origin, one.flags = (WALL + self.now) << 16, 1, flags
        one.expires = 1 if flags else WALL // 1000 + 3_600
        if flow:
            one.instance, one.reg_id = b"<urn:uuid:00000000-0000-1000-8000-AABBCCDDEEFF>", flow
        if not flags:
            one.user_agent, one.path, one.q = b"phone/1.0", b"<sip:edge.example.com;lr>", 500
        self.commit(LOCATION, user + b"@example.com", encode([one]))

    def call(self, key: bytes, ways: tuple[float, ...]) -> None:
        body = None
        for way in ways:
            self.now += 1
            version = (WALL + self.now) << 16
            body = next_record(body, way, version, 1, bytes([*key[:8], 0, 0, 0, 7, 1, 0, 0, 0]))
        assert body is not None
        self.commit(DIALOGS, key + b"\0from-tag", body)

    def work(self, name: bytes) -> None:
        """Something of everything."""
        for number in range(6):
            self.phone(b"%b%d" % (name, number), b"sip:a@192.0.2.%d" % number, flow=number % 2)
        self.phone(name + b"0", b"sip:a@192.0.2.0", REMOVED)
        self.phone(name + b"2", ALL_CONTACTS, REMOVED)
        self.call(name + b"-rings", (0.0,))
        self.call(name + b"-is-up", (0.0, 0.0, 0.5))
        self.call(name + b"-is-over", (0.0, 0.0, 0.9))
        self.call(name + b"-is-sealed", (0.0, 0.9, 0.3))
        self.call(name + b"-is-forgotten", (0.0, 0.9, 0.3, 0.9))
        version = (WALL + self.now) << 16
        self.commit(DESTINATIONS, b"1 " + name, make(version, 1, b"up"))
        self.commit(DESTINATIONS, b"2 " + name, tombstone(version, 1))


def record() -> tuple[list[bytes], str]:
    """The frames of a node that has a life behind it and goes on with it, and what came of them."""
    pair = Recorder()
    pair.work(b"early..")
    pair.run(7_000)
    pair.work(b"late...")
    pair.run(1_000)
    brain = pair.brains[1]
    brain.activate("vip", pair.now, WALL + pair.now)
    brain.counts.put(PROFILE, b"trunk\0alice", 4)
    pair.run(400)
    brain.leave()
    pair.run(20)
    assert brain.replication.digests.root == pair.brains[2].replication.digests.root
    return fewer_beats(pair.kept), result(pair.brains[2])


def fewer_beats(frames: list[bytes]) -> list[bytes]:
    """Without those beats that say only that time has passed."""
    kept: list[bytes] = []
    same: dict[bytes, int] = {}
    for data in frames:
        if data[3] == Kind.BEAT:
            said = decode(data).body[16:]  # behind the clocks
            same[said] = same.get(said, 0) + 1
            if same[said] > BEATS:
                continue
        kept.append(data)
    return kept


def result(brain: Cluster) -> str:
    """What a node knows in the end: the root of its sums, how many records, who has the tag."""
    sums = brain.replication.digests
    tag = brain.tags.get("vip")
    return f"{sums.root:016x} {sums.count} {sums.tombstones} {tag.holder} {tag.epoch}"


class Player:
    """A node whose peer is a recording, which answers when it is asked."""

    def __init__(self) -> None:
        settings = Settings(node=2, peers=(1,), tables=tuple(FORMS), tags=("vip",), mark=MARK)
        self.store = MemoryStore(1_000)
        self.brain = Cluster(settings, self.store, HybridClock(), 1)
        self.now = 0
        self.asked: dict[int, bytes] = {}  # of a kind of question the number
        self.beat = b""
        self.counted = 0

    def play(self, frames: list[bytes]) -> int:
        """How many of the frames had their turn."""
        for number, data in enumerate(frames):
            until = self.now + 10_000
            while not self.is_due(data):
                if self.now >= until:
                    return number
                self.pass_time()
            if data[3] == Kind.BEAT:
                self.beat = data
            elif data[3] == Kind.BYE:
                self.beat = b""
            self.brain.step(self.answering(data), self.now, WALL + self.now)
            self.counted = max(
                self.counted, self.brain.counts.total(PROFILE, b"trunk\0alice", self.now)
            )
            self.pass_time()
        return len(frames)

    def pass_time(self) -> None:
        """Ten milliseconds."""
        self.now += 10
        if self.beat and self.now % 250 == 0:
            self.brain.step(self.beat, self.now, WALL + self.now)
        self.brain.tick(self.now, WALL + self.now)
        for _, _, data in self.brain.ready():
            frame = decode(data)
            if frame.kind in (Kind.HELLO, Kind.SYNC_ASK):
                self.asked[frame.kind] = frame.body[:8]

    def is_due(self, data: bytes) -> bool:
        """Whether the node is where it can understand a frame."""
        if data[3] == Kind.WELCOME:
            return Kind.HELLO in self.asked
        if data[3] in (Kind.SNAPSHOT, Kind.SNAPSHOT_END):
            return Kind.SYNC_ASK in self.asked
        return data[3] != Kind.DATA or self.brain.links[1].following.takes_changes

    def answering(self, data: bytes) -> bytes:
        """The frame with the number of the question that was asked this time."""
        if data[3] not in ANSWERS:
            return data
        asked = self.asked[Kind.HELLO if data[3] == Kind.WELCOME else Kind.SYNC_ASK]
        at = int.from_bytes(data[4:6], "little")
        body = asked + data[at + DATA_HEAD.size :]
        head = data[:36] + zlib.crc32(body).to_bytes(4, "little")
        further = data[HEADER_BYTES:at]
        return head + zlib.crc32(head).to_bytes(4, "little") + further + body


def load(name: str) -> tuple[list[bytes], str]:
    """A recording, and what came of it."""
    first, *lines = (FOLDER / name).read_text(encoding="ascii").splitlines()
    frames = [zlib.decompress(base64.b64decode(line.split()[1])) for line in lines]
    return frames, first


def save(name: str, frames: list[bytes], came_of_it: str) -> None:
    """Keep a recording."""
    lines = [came_of_it]
    for data in frames:
        known = data[3] in Kind.__members__.values()
        kind = Kind(data[3]).name if known else str(data[3])
        lines.append(f"{kind} {base64.b64encode(zlib.compress(data, 9)).decode()}")
    (FOLDER / name).write_text("\n".join(lines) + "\n", encoding="ascii")


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    stream, outcome = record()
    save("version-1.txt", stream, outcome)
    save("later-minor.txt", [each for data in stream for each in later(data)], outcome)
