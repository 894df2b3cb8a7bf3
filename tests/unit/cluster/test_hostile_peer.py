"""A peer with a valid key that lies: nothing it says is half believed."""

from __future__ import annotations

import pytest

from proxy.cluster.frames import Frame, encode, encode_records
from proxy.cluster.messages import DATA_HEAD, SNAPSHOT_HEAD, Ack, Kind, SnapshotEnd, SyncAsk
from tests.simulation.store import DESTINATIONS
from tests.unit.cluster.trio import WALL, Trio


def state_of(pair: Trio) -> list[object]:
    brain = pair.brains[2]
    following, sending = brain.links[1].following, brain.links[1].sending
    return [
        dict(pair.stores[2].records),
        (following.state, following.epoch, following.position, following.quarantine),
        (sending.sent, sending.acked, sending.whole),
        (brain.replication.digests.root, brain.replication.clock.last),
        (brain.comparison.pull, brain.comparison.serving, brain.comparison.baseline),
        brain.tags.told(),
    ]


def hostile(pair: Trio) -> list[Frame]:
    epoch = pair.epochs[1]
    good = (DESTINATIONS, b"key", b"\x01" + bytes(7) + b"\x01" + bytes(7))

    def data(*records: tuple[int, bytes, bytes]) -> bytes:
        return encode_records(
            DATA_HEAD.pack(pair.brains[2].links[1].following.position), [*records]
        )

    def frame(kind: int, body: bytes, sequence: int = 99, **other: int) -> Frame:
        to = {"cluster": 1, "sender": 1, "destination": 2, "epoch": epoch, **other}
        return Frame(kind, sequence=sequence, body=body, **to)

    return [
        frame(Kind.DATA, data(good, (77, b"key", b"unknown table"))),
        frame(Kind.DATA, data(good, (DESTINATIONS, b"key", b"short"))),
        frame(Kind.DATA, data(good, (1, b"alice", b"no location record"))),
        frame(Kind.DATA, data(good)[:-1]),
        frame(Kind.DATA, b""),
        frame(Kind.SNAPSHOT, encode_records(SNAPSHOT_HEAD.pack(5), [good])),
        frame(Kind.SNAPSHOT_END, SnapshotEnd(5, 0, 0).encode(), 0),
        frame(Kind.ACK, Ack(pair.epochs[2], 1, False, True).encode(), 2**40),
        frame(Kind.ACK, Ack(77, 1, True, True).encode(), 0),
        frame(Kind.SYNC_ASK, SyncAsk(1, pair.brains[1].replication.digests.sums).encode()[:-1]),
        frame(Kind.HELLO, b"?"),
        frame(Kind.WELCOME, bytes(17)),
        frame(Kind.COUNTS, b"\xff\xff"),
        frame(Kind.BEAT, b"\x00" * 10),
        frame(200, b"a later kind"),
        frame(Kind.DATA, data(good), cluster=9),
        frame(Kind.DATA, data(good), sender=9),
        frame(Kind.DATA, data(good), destination=9),
        frame(Kind.BYE, b"", destination=1),
    ]


@pytest.mark.parametrize("index", range(19))
def test_hostile_frames_change_nothing(pair: Trio, index: int) -> None:
    pair.put(2, b"own")
    pair.run(50)
    before = state_of(pair)
    brain = pair.brains[2]
    counted = sum(brain.wire.tallies.values())
    brain.step(encode(hostile(pair)[index]), pair.now, WALL + pair.now)
    assert state_of(pair) == before
    refused = sum(brain.wire.tallies.values()) - counted
    assert refused == (0 if index in (5, 6, 7, 8, 11) else 1)
