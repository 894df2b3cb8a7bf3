"""The states of destinations: whoever finds out later is believed, on every node."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.cluster.destinations import (
    TOMBSTONE_S,
    Destinations,
    DestinationState,
    key_of,
    read,
    sweep,
)
from proxy.cluster.digests import Digests
from proxy.cluster.frames import decode_records
from proxy.cluster.hlc import HybridClock
from proxy.cluster.merge import make
from proxy.cluster.messages import DATA_HEAD
from proxy.cluster.store import Horizon
from proxy.cluster.telling import Telling
from proxy.errors import TableFull
from proxy.limits import bounds
from proxy.shm.changes import ChangeRing
from proxy.shm.destination_table import DestinationTable
from proxy.shm.table_ids import DESTINATIONS
from workers.clusterer.destinations import DestinationAdapter
from workers.clusterer.store import TableStore

GATEWAY = b"sip:gw1@192.0.2.9"
NOW = 1_700_000_000_000
AT_ONCE = Horizon(1, 0, 0, 0)
ACTIVE, PROBING = DestinationState.ACTIVE, DestinationState.PROBING


class Side:
    """One node."""

    def __init__(self, number: int, folder: Path) -> None:
        self.table = DestinationTable.create(str(folder / f"{number}.table"), 64)
        self.ring = ChangeRing.create(None, 256)
        self.table.note_changes(self.ring, DESTINATIONS)
        self.known = Destinations(self.table, number, HybridClock())
        self.store = TableStore(self.ring, [DestinationAdapter(self.table)])

    def tell(self, other: Side) -> int:
        """What changed here, to another node; how much of it was new there."""
        telling = Telling(Digests(), self.store.forms, set())
        telling.begin(0)
        assert self.store.take(100, 0, telling) >= 0
        telling.end()
        return sum(
            other.store.apply(*record, AT_ONCE) is not None
            for batch in telling.batches.values()
            for record in decode_records(batch[1], DATA_HEAD.size)
        )


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Side, Side]]:
    pair = Side(1, tmp_path), Side(2, tmp_path)
    yield pair
    for side in pair:
        side.table.close()


def test_a_state_is_kept_and_said_once(pair: tuple[Side, Side]) -> None:
    one, _ = pair
    assert one.known.look(1, GATEWAY) is None
    assert one.known.set_state(1, GATEWAY, PROBING, b"408", NOW)
    assert not one.known.set_state(1, GATEWAY, PROBING, b"408", NOW + 1)
    found = one.known.look(1, GATEWAY)
    assert found is not None
    assert found[:5] == (1, GATEWAY, PROBING, b"408", 1)
    assert list(one.known.states()) == [found]
    assert one.known.look(2, GATEWAY) is None
    assert (one.table.count, one.table.units) == (1, 1)


def test_the_later_finding_wins_on_both_nodes(pair: tuple[Side, Side]) -> None:
    one, two = pair
    one.known.set_state(1, GATEWAY, PROBING, b"408", NOW)
    two.known.set_state(1, GATEWAY, ACTIVE, b"200", NOW + 5)
    assert one.tell(two) == 0
    assert two.tell(one) == 1
    assert one.known.look(1, GATEWAY) == two.known.look(1, GATEWAY)
    assert one.known.set_state(1, GATEWAY, PROBING, b"503", NOW - 60_000)  # the clock is behind
    assert one.tell(two) == 1
    assert [each.state for each in two.known.states()] == [PROBING]


def test_what_is_forgotten_stays_so(pair: tuple[Side, Side]) -> None:
    one, two = pair
    one.known.set_state(1, GATEWAY, PROBING, b"", NOW)
    late = one.table.snapshot(key_of(1, GATEWAY))[0]
    one.tell(two)
    assert two.known.forget(1, GATEWAY, NOW + 1)
    assert not two.known.forget(1, GATEWAY, NOW + 2)
    two.tell(one)
    assert list(one.known.states()) == list(two.known.states()) == []
    assert late is not None
    assert one.store.apply(DESTINATIONS, key_of(1, GATEWAY), late, AT_ONCE) is None
    later = (NOW + 1) // 1_000 + TOMBSTONE_S
    assert sweep(one.table, later - 1, 2**64 - 1) == 0
    assert sweep(one.table, later, 0) == 0
    assert sweep(one.table, later, 2**64 - 1) == 1
    assert one.table.count == 0


def test_what_a_later_version_may_say_is_nothing_to_us(pair: tuple[Side, Side]) -> None:
    one, _ = pair
    key = key_of(1, GATEWAY)
    for body in (make(1, 1, b""), make(1, 1, b"\x09new"), b"garbage"):
        assert read(key, body) is None
    one.table.commit(key, 0, b"garbage", 0, 1)
    assert one.known.set_state(1, GATEWAY, ACTIVE, b"", NOW)
    assert read(b"x sip:a", make(1, 1, b"\x00")) is None


def test_long_names_and_a_full_table(pair: tuple[Side, Side]) -> None:
    one, _ = pair
    uri = b"sip:" + b"x" * 1_000
    assert one.known.set_state(1, uri, ACTIVE, b"r" * 1_000, NOW)
    (found,) = one.known.states()
    assert len(found.uri) == bounds.DESTINATION_URI_BYTES
    assert len(found.reason) == bounds.DESTINATION_REASON_BYTES

    def fill() -> None:
        for number in range(1_000):
            one.known.set_state(1, b"sip:%d" % number, ACTIVE, b"", NOW)

    with pytest.raises(TableFull):
        fill()
    assert one.known.set_state(1, uri, PROBING, b"", NOW)
