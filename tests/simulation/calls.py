"""The life of a call as its record goes through it, without anybody who telephones."""

from __future__ import annotations

from proxy.dialog.layout import (
    AT_ANSWERED,
    AT_CREATED,
    AT_ENDED,
    AT_FLAGS,
    AT_OWNER,
    AT_STATE,
    AT_USER_FLAGS,
    AT_VERSION,
    NEVER,
    SEALED,
)
from proxy.dialog.record import begin, grown_by_leg
from proxy.dialog.replica import buried, is_buried
from proxy.dialog.states import State
from proxy.shm.words import get_u32, get_u64, put_u16, put_u32, put_u64

HERE = b"192.0.2.9:5060"
TEXTS = (
    b"sip:alice@example.com",
    b"sip:bob@example.com",
    b"sip:alice@192.0.2.1",
    b"",
    HERE,
    b"vip",
    b"",
    b"",
    b"192.0.2.1:5060",
    *(b"",) * 4,
)
CALLEE = (b"to", b"sip:bob@192.0.2.2", b"", HERE, b"192.0.2.2:5060", b"")


def next_record(before: bytes | None, way: float, version: int, node: int, did: bytes) -> bytes:
    """What comes of a call next; `way`, from 0 to 1, says which way it takes."""
    if before is None or is_buried(before):
        return _ringing(before, version, node, did)
    state = before[AT_STATE]
    if state == State.DELETED:
        if way < 0.1:
            return _ringing(before, version, node, did)
        sealed = get_u32(before, AT_FLAGS) & SEALED
        draft = _sealed(before) if way < 0.4 and not sealed else buried(before)
    elif state == State.EARLY and way < 0.4:
        draft = _answered(before, version >> 16)
    elif way < 0.6:
        draft = bytearray(before)
        put_u32(draft, AT_USER_FLAGS, get_u32(draft, AT_USER_FLAGS) + 1)
    else:
        draft = bytearray(before)
        draft[AT_STATE] = State.DELETED
        put_u64(draft, AT_ENDED, version >> 16)
    put_u64(draft, AT_VERSION, version)
    put_u16(draft, AT_OWNER, node)
    return bytes(draft)


def _ringing(before: bytes | None, version: int, node: int, did: bytes) -> bytes:
    """A new INVITE, later than the one whose place it takes."""
    created = version >> 16
    if before is not None:
        created = max(created, get_u64(before, AT_CREATED) + 1)
    body = begin(did, version, node, created, NEVER, 0, 0, 1, 0, TEXTS)
    draft = grown_by_leg(body, State.EARLY, 1, 0, *CALLEE)
    draft[AT_STATE] = State.EARLY
    return bytes(draft)


def _answered(before: bytes, now_ms: int) -> bytearray:
    draft = bytearray(before)
    draft[AT_STATE] = State.CONFIRMED
    put_u64(draft, AT_ANSWERED, now_ms)
    return draft


def _sealed(before: bytes) -> bytearray:
    draft = bytearray(before)
    put_u32(draft, AT_FLAGS, get_u32(draft, AT_FLAGS) | SEALED)
    return draft
