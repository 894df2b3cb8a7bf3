"""What the checks see of a record: its parts, each with the state it is in."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from proxy.cluster.merge import HEAD, TOMBSTONE
from proxy.dialog.layout import AT_CREATED, AT_OWNER, AT_VERSION
from proxy.dialog.record import did_of
from proxy.dialog.replica import certainty, is_buried
from proxy.registrar.binding import Binding, decode
from proxy.registrar.layout import ALL_CONTACTS, REMOVED
from proxy.shm.words import get_u16, get_u64
from tests.simulation.store import CONTACTS, DIALOGS, LOCATION

Part = tuple[int, bytes, bytes]  # table, key, what names it within the record
Rank = tuple[int | bytes, ...]  # of two states of a part the one of the higher rank wins


class State(NamedTuple):
    """What a part is at a moment."""

    rank: Rank
    removed: bool
    expires: int
    version: int
    origin: int


@lru_cache(maxsize=20_000)
def parts_of(table: int, key: bytes, body: bytes | None) -> dict[Part, State]:
    """The parts of a record, to be read only: what was asked before is answered from memory."""
    if body is None:
        return {}
    if table == LOCATION:
        return _bindings(key, decode(body))
    return {(table, key, b""): _dialog(body) if table == DIALOGS else _whole(body)}


def _bindings(key: bytes, bindings: list[Binding]) -> dict[Part, State]:
    """A tombstone of all is one of each that is not there."""
    found = {(LOCATION, key, one.contact): _binding(one) for one in bindings}
    everything = found.get((LOCATION, key, ALL_CONTACTS))
    if everything is not None:
        for contact in CONTACTS:
            found.setdefault((LOCATION, key, contact), everything)
    return found


def _binding(one: Binding) -> State:
    removed = one.flags & REMOVED != 0
    rank = (one.version, one.origin)
    return State(rank, removed, 0 if removed else one.expires, one.version, one.origin)


def _dialog(body: bytes) -> State:
    version, owner = get_u64(body, AT_VERSION), get_u16(body, AT_OWNER)
    rank = (get_u64(body, AT_CREATED), did_of(body), certainty(body), version, owner)
    return State(rank, is_buried(body), 0, version, owner)


def _whole(body: bytes) -> State:
    version, origin, flags, _, expires = HEAD.unpack_from(body)
    return State((version, origin), flags & TOMBSTONE != 0, expires, version, origin)
