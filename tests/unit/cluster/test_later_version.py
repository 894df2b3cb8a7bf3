"""A rolling upgrade: a node of this version with one of a later, which says more than we know."""

from __future__ import annotations

from zlib import crc32

import pytest

from proxy.cluster.frames import Frame, decode, encode
from proxy.cluster.link import State
from proxy.cluster.messages import Kind
from proxy.errors import BadFrame
from tests.unit.cluster.later import LATER_KIND, MORE, later, longer
from tests.unit.cluster.tape import Player, load, result
from tests.unit.cluster.trio import Trio


class Upgrade(Trio):
    """Node 1 is of the later version: what it sends is longer, and some of it unheard of."""

    def carry(self, source: int, target: int, data: bytes) -> None:
        for each in later(data) if source == 1 else [data]:
            super().carry(source, target, each)


@pytest.mark.parametrize("stream", ["version-1.txt", "later-minor.txt"])
def test_what_was_recorded_is_understood(stream: str) -> None:
    """A node of some day, whose peer is of the version of the recording, or of a later minor."""
    frames, came_of_it = load(stream)
    player = Player()
    assert player.play(frames[:-1]) == len(frames) - 1
    brain = player.brain
    following = brain.links[1].following
    assert (following.state, brain.comparison.is_synced()) == (State.FOLLOWING, True)
    assert player.play(frames[-1:]) == 1
    assert not brain.membership.hears(1, player.now), "it has said good-bye"
    assert result(brain) == came_of_it
    assert player.counted == 4
    assert not brain.wire.tallies["bad_frames"]
    kinds = {frame[3] for frame in frames}
    assert kinds >= set(Kind) - {Kind.SYNC_LATER}, "each kind is in the recording"
    assert brain.wire.tallies["unknown_frames"] == sum(f[3] == LATER_KIND for f in frames)


def test_two_versions_share_a_cluster() -> None:
    pair = Upgrade(2)
    for number in range(300):
        pair.put(1, b"before %d" % number)
        pair.put(2, b"here %d" % number)
    pair.run(8_000)
    for number in range(300):
        pair.put(1, b"live %d" % number)
    pair.put(1, b"before 7", None)
    pair.run(2_000)
    one, two = pair.brains[1], pair.brains[2]
    assert one.replication.digests.root == two.replication.digests.root
    assert two.replication.digests.count == 899
    assert two.links[1].following.state == State.FOLLOWING
    assert two.comparison.is_synced()
    assert not two.wire.tallies["bad_frames"]
    assert two.wire.tallies["unknown_frames"] > 10


def test_what_a_later_version_sends_is_read_as_ours() -> None:
    frame = Frame(Kind.BEAT, 1, 1, 2, 3, 4, b"body")
    read = decode(longer(encode(frame)))
    assert (read.kind, read.sender, read.epoch, read.sequence) == (Kind.BEAT, 1, 3, 4)
    assert read.body == b"body" + MORE


def test_an_earlier_version_is_refused() -> None:
    data = bytearray(longer(encode(Frame(Kind.BEAT, 1, 1, 2, 3, 4))))
    data[2] = 0
    data[40:44] = crc32(bytes(data[:40])).to_bytes(4, "little")
    with pytest.raises(BadFrame, match="version 0"):
        decode(bytes(data))
