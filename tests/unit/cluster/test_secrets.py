"""Nodes whose [node] secret is not the same could not go on with each other's calls."""

from __future__ import annotations

import hmac

import pytest

from proxy.cluster.link import State
from proxy.cluster.messages import Kind
from proxy.cluster.settings import secret_mark
from tests.unit.cluster.trio import WALL, Trio


def with_marks(first: bytes, second: bytes) -> Trio:
    """Two nodes that have been started with these marks of their secrets."""
    pair = Trio(mark=first)
    pair.settings = {"mark": second}
    pair.boot(2)
    return pair


def test_nodes_with_other_secrets_stay_apart_and_say_so() -> None:
    pair = with_marks(secret_mark(b"one", 1), secret_mark(b"another", 1))
    pair.put(1, b"call")
    pair.run(125_000, 50)
    for number, peer in ((1, 2), (2, 1)):
        brain = pair.brains[number]
        link = brain.links[peer]
        assert link.next_hop == peer, "they hear each other"
        assert link.following.state == State.GREETING
        assert not brain.comparison.is_synced()
        assert "its [node] secret is another one than ours" in brain.comparison.why()
        text = f"node {peer}: its [node] secret is another one than ours"
        assert [what for event, what in brain.events() if event == "node refused"] == [text] * 3
        assert brain.wire.tallies["hellos_refused"] > 100
    assert not pair.holds(2, b"call")
    assert not pair.sent(Kind.WELCOME) + pair.sent(Kind.DATA) + pair.sent(Kind.SNAPSHOT)
    pair.brains[1].activate("vip", pair.now, WALL + pair.now)
    pair.run(100)
    assert pair.brains[2].tags.get("vip").holder == 1, "tags are agreed upon all the same"


@pytest.mark.parametrize("first", [b"", secret_mark(b"one", 1)])
@pytest.mark.parametrize("second", [b"", secret_mark(b"one", 1)])
def test_an_earlier_version_is_not_asked_for_its_secret(first: bytes, second: bytes) -> None:
    pair = with_marks(first, second)
    pair.put(1, b"call")
    pair.run(8_000)
    assert pair.holds(2, b"call")
    assert all(brain.comparison.is_synced() for brain in pair.brains.values())


def test_the_mark_is_that_of_the_protocol() -> None:
    """Other implementations have to make the same (docs/replication.md)."""
    told = b"sipherd: which secret a node has\x02\x01"
    assert secret_mark(b"key", 0x102) == hmac.digest(b"key", told, "sha256")[:16]
    assert secret_mark(b"key", 1) != secret_mark(b"key", 2)
