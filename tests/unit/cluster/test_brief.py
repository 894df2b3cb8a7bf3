"""Refreshes travel without the strings that the peer has, and with them where it has not."""

from __future__ import annotations

from proxy.cluster.frames import Frame, decode_records
from proxy.cluster.messages import DATA_HEAD, Kind
from proxy.registrar.binding import Binding, encode
from proxy.registrar.layout import BRIEF
from tests.simulation.store import LOCATION
from tests.unit.cluster.trio import Trio

ALICE = b"alice@example.com"


def refresh(pair: Trio, node: int = 1, user: bytes = ALICE, call_id: bytes = b"c") -> bytes:
    """A REGISTER at a node's edge; the record."""
    made = Binding(b"sip:%b@192.0.2.1" % user, call_id, pair.now + 1)
    made.version, made.origin = pair.wall(node) << 16, node
    record = encode([made])
    pair.stores[node].commit(LOCATION, user, record, "edge")
    pair.run(10)
    return record


def told(frames: list[Frame]) -> list[bool]:
    """Of each record that was told, whether it was brief."""
    return [
        body[0] == BRIEF
        for frame in frames
        for _, _, body in decode_records(frame.body, DATA_HEAD.size)
    ]


def here(pair: Trio, node: int) -> bytes:
    return pair.stores[node].records[LOCATION, ALICE]


def test_a_refresh_is_brief(pair: Trio) -> None:
    for _ in range(3):
        record = refresh(pair)
        assert here(pair, 2) == record
    assert told(pair.sent(Kind.DATA)) == [False, True, True]
    assert pair.brains[1].wire.tallies["briefs"] == 2
    assert pair.brains[2].wire.tallies["incomplete"] == 0


def test_a_phone_that_says_something_else_is_told_whole(pair: Trio) -> None:
    refresh(pair)
    record = refresh(pair, call_id=b"d")
    assert here(pair, 2) == record
    assert told(pair.sent(Kind.DATA)) == [False, False]


def test_who_lacks_the_strings_gets_the_record_whole(pair: Trio) -> None:
    refresh(pair)
    pair.stores[2].commit(LOCATION, ALICE, None, "expired")
    pair.run(10)
    record = refresh(pair)
    pair.run(30)
    assert here(pair, 2) == record
    assert told(pair.sent(Kind.DATA)) == [False, True, False]
    assert pair.brains[2].wire.tallies["incomplete"] == 1
    refresh(pair)
    assert told(pair.sent(Kind.DATA))[3:] == [True]


def test_what_is_sent_again_is_whole(pair: Trio) -> None:
    refresh(pair)
    pair.keep = lambda s, t, frame: frame.kind != Kind.DATA
    refresh(pair)
    pair.keep = lambda s, t, frame: True
    record = refresh(pair)
    pair.run(1_000)
    assert here(pair, 2) == record
    assert told(pair.sent(Kind.DATA)) == [False, True, False]


def test_who_may_lack_anything_gets_all_of_it(pair: Trio) -> None:
    refresh(pair)
    pair.keep = lambda s, t, frame: frame.kind not in (Kind.SYNC_ASK, Kind.SNAPSHOT)
    pair.boot(2)
    pair.run(1_000)
    record = refresh(pair)
    pair.run(20)
    assert here(pair, 2) == record
    assert told(pair.sent(Kind.DATA)) == [False, False]


def test_after_the_word_of_a_peer_all_is_told(pair: Trio) -> None:
    """A third node may not have heard it."""
    refresh(pair)
    refresh(pair, 2, call_id=b"d")
    assert here(pair, 1) == here(pair, 2)
    record = refresh(pair, call_id=b"d")
    assert here(pair, 2) == record
    assert told(pair.sent(Kind.DATA)) == [False, False, False]


def test_a_brief_record_in_a_snapshot_is_no_snapshot(pair: Trio) -> None:
    refresh(pair)
    link, brain = pair.brains[2].links[1], pair.brains[2]
    form = pair.stores[1].forms[LOCATION]
    whole = here(pair, 1)
    brief = form.brief(whole, form.rest(whole))
    assert brain.replication.apply(link, [(LOCATION, b"bob@example.com", brief)], pair.wall(2)) < 0
    assert (LOCATION, b"bob@example.com") not in pair.stores[2].records
