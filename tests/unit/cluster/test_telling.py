"""The changes of one turn become batches, each record once and in order."""

from __future__ import annotations

from zlib import crc32

from proxy.cluster.backlog import notes_in
from proxy.cluster.digests import Digests
from proxy.cluster.frames import Record, decode_records
from proxy.cluster.merge import make
from proxy.cluster.messages import DATA_HEAD
from proxy.cluster.telling import Telling
from proxy.limits import bounds
from proxy.registrar.binding import Binding, encode
from proxy.registrar.layout import BRIEF
from tests.simulation.store import DESTINATIONS, FORMS, LOCATION


def key_of(number: int) -> bytes:
    return b"sip:gateway%d" % number


def telling_of(states: list[tuple[int, bytes, bytes | None]], start: int = 7) -> Telling:
    """A turn that finds these."""
    telling = Telling(Digests(), FORMS, set())
    take(telling, states, start)
    return telling


def take(telling: Telling, states: list[tuple[int, bytes, bytes | None]], start: int) -> None:
    telling.begin(start)
    for table, key, body in states:
        telling.name(table, key)
        telling.state(body)


def told(telling: Telling) -> list[Record]:
    """All records, from batches that follow each other without a gap."""
    found: list[Record] = []
    after = telling.start
    while after in telling.batches:
        upto, body, body_sum, records, _ = telling.batches[after]
        assert DATA_HEAD.unpack_from(body) == (after,)
        assert crc32(body) == body_sum
        here = decode_records(body, DATA_HEAD.size)
        assert len(here) == records
        found += here
        after = upto
    assert after == telling.start + telling.count
    return found


def phone(version: int, call_id: bytes = b"c") -> bytes:
    """A record of one binding."""
    made = Binding(b"sip:alice@192.0.2.1", call_id, 1)
    made.version, made.origin = version, 1
    return encode([made])


def test_what_is_news_is_told_in_order_and_noted() -> None:
    bodies = [make(number, 1, b"state") for number in range(1, 5)]
    states = [(DESTINATIONS, key_of(n), body) for n, body in enumerate(bodies)]
    telling = telling_of([*states, states[0], states[3]])
    notes = telling.end()
    assert told(telling) == states
    assert telling.count == 4
    assert notes_in(notes, 0, 9) == [(DESTINATIONS, key_of(number)) for number in range(4)]
    assert notes_in(notes, 2, 1) == [(DESTINATIONS, key_of(2))]


def test_what_has_gone_is_told_to_nobody() -> None:
    telling = telling_of([(DESTINATIONS, key_of(1), make(5, 1, b"state"))])
    take(telling, [(DESTINATIONS, key_of(1), None)], 8)
    assert (telling.end(), telling.count, telling.batches) == (b"", 0, {})
    assert telling.digests.root == 0


def test_a_batch_has_so_many_records_and_no_more() -> None:
    states = [
        (DESTINATIONS, key_of(n), make(n, 1, b"")) for n in range(1, bounds.BATCH_RECORDS + 2)
    ]
    telling = telling_of(list(states))
    telling.end()
    ends = [batch[0] - telling.start for batch in telling.batches.values()]
    assert ends == [bounds.BATCH_RECORDS, bounds.BATCH_RECORDS + 1]
    assert told(telling) == states


def test_a_batch_ends_with_the_record_that_fills_it() -> None:
    large = bytes(bounds.BATCH_BYTES // 2)
    states = [(DESTINATIONS, key_of(n), make(n, 1, large)) for n in range(1, 6)]
    telling = telling_of(list(states))
    telling.end()
    assert [batch[3] for batch in telling.batches.values()] == [2, 2, 1]
    assert told(telling) == states


def test_a_table_that_was_taken_out_has_positions_and_no_records() -> None:
    telling = Telling(Digests(), FORMS, {DESTINATIONS})
    states = [
        (DESTINATIONS, key_of(1), make(5, 1, b"state")),
        (LOCATION, b"alice@example.com", phone(5)),
    ]
    take(telling, list(states), 0)
    telling.end()
    assert telling.count == 2
    assert told(telling) == states[1:]


def test_a_refresh_is_brief_once_the_strings_were_told() -> None:
    alice = b"alice@example.com"
    telling = telling_of([(LOCATION, alice, phone(5))])
    telling.end()
    assert [body[0] == BRIEF for _, _, body in told(telling)] == [False]
    for version, call_id, brief in ((6, b"c", True), (7, b"d", False), (8, b"d", True)):
        take(telling, [(LOCATION, alice, phone(version, call_id))], version)
        telling.end()
        assert [body[0] == BRIEF for _, _, body in told(telling)] == [brief]
        assert [batch[4] for batch in telling.batches.values()] == [brief]
