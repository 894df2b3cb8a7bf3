"""From an address-of-record to where its phones are."""

from __future__ import annotations

import cython

from proxy.registrar.binding import Faults
from proxy.registrar.layout import (
    AT_FLAGS,
    AT_METHODS,
    AT_Q,
    BINDING,
    CONTACT,
    HEAD,
    NO_Q,
    PATH,
    RECEIVED,
    SOCKET,
)
from proxy.registrar.methods import METHOD_BITS, OTHER_METHOD
from proxy.registrar.record import (
    binding_count,
    is_live,
    string,
)
from proxy.shm.table import Table

if not cython.compiled:
    from proxy.shm.words import get_u16, get_u32

DEFAULT_Q = 1000  # RFC 3261 §20.10 leaves it open; §16.6 wants a place in the order


@cython.freelist(64)
@cython.cclass
class Target:
    """Where one live contact can be reached, by what way, and how much it is wanted."""

    uri: bytes
    received: bytes
    path: bytes
    socket: bytes
    q: int
    methods: int
    flags: int

    def __repr__(self) -> str:
        return f"<Target {self.uri!r} q={self.q} received={self.received!r}>"


def lookup(
    table: Table, aor_key: bytes, method: str, now: int, faults: Faults | None = None
) -> list[Target]:
    """The live contacts of an AoR that take `method` ("" = any), the most wanted first."""
    payload = table.read(aor_key)
    targets: list[Target] = []
    if payload is None:
        return targets
    count = binding_count(payload)
    if count < 0:
        if faults is not None:
            faults.corrupt += 1
        return targets
    wanted = METHOD_BITS.get(method, OTHER_METHOD) if method else 0
    at = HEAD
    for _ in range(count):
        if is_live(payload, at, now):
            methods = get_u32(payload, at + AT_METHODS)
            if wanted == 0 or methods & wanted:
                targets.append(target_at(payload, at, methods))
        at += BINDING
    if len(targets) > 1:
        targets.sort(key=_preference)
    return targets


def target_at(payload: bytes, at: int, methods: int) -> Target:
    """The target whose binding header starts at `at` of a sound record."""
    target = Target.__new__(Target)
    target.uri = string(payload, at, CONTACT)
    target.received = string(payload, at, RECEIVED)
    target.path = string(payload, at, PATH)
    target.socket = string(payload, at, SOCKET)
    q = get_u16(payload, at + AT_Q)
    target.q = DEFAULT_Q if q == NO_Q else q
    target.methods = methods
    target.flags = get_u16(payload, at + AT_FLAGS)
    return target


def _preference(target: Target) -> int:
    return -target.q


def registered(table: Table, aor_key: bytes, now: int) -> bool:
    """Whether the AoR has any live contact."""
    return len(lookup(table, aor_key, "", now)) > 0


def target_for(uri: bytes) -> Target:
    """A target that no registration stands behind: just a URI."""
    target = Target.__new__(Target)
    target.uri = uri
    target.received = target.path = target.socket = b""
    target.q = DEFAULT_Q
    target.methods = 0
    target.flags = 0
    return target
