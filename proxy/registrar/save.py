"""REGISTER: RFC 3261 §10.3 against the location table, all of it or nothing of it."""

from __future__ import annotations

import cython

from proxy.cluster.hlc import HybridClock
from proxy.errors import BadMessage, LockTimeout, Refused, ShmError
from proxy.registrar.binding import Binding, Faults, decode, encode
from proxy.registrar.commit import commit_record
from proxy.registrar.graves import is_crowded
from proxy.registrar.layout import (
    AT_CSEQ,
    AT_REG_ID,
    CALL_ID,
    INSTANCE,
    PATH,
    RECEIVED,
    REMOVED,
    SOCKET,
    TAG,
    USER_AGENT,
)
from proxy.registrar.plan import make_plan
from proxy.registrar.record import (
    binding_count,
    contact_lines,
    due_at,
    find_contact,
    highest_version,
    is_live,
    live_count,
    patched,
    same_string,
    units_of,
)
from proxy.registrar.registration import Registration, read_registration, reg_id_of
from proxy.registrar.rules import RegistrarRules
from proxy.registrar.tombstones import buried, tombstones_of
from proxy.shm.table import Table
from proxy.sip.address import Address
from proxy.sip.message import Message

if not cython.compiled:
    from proxy.shm.words import get_u32

ATTEMPTS = 8  # commits lost in a row to other processes before the phone is told to come back


@cython.freelist(16)
@cython.cclass
class RegisterResult:
    """The answer to a REGISTER: what the caller puts on the wire, and what it did."""

    status: int
    reason: bytes
    headers: bytes  # whole lines
    aor: bytes
    changed: bool  # a new record was committed
    contacts: int  # live bindings now
    expired: int  # bindings found to have run out, and removed

    def __repr__(self) -> str:
        return f"<RegisterResult {self.status} {self.reason!r} {self.headers!r}>"


def make_result(status: int, reason: bytes, headers: bytes, aor: bytes) -> RegisterResult:
    """An answer that tells of no change."""
    result = RegisterResult.__new__(RegisterResult)
    result.status = status
    result.reason = reason
    result.headers = headers
    result.aor = aor
    result.changed = False
    result.contacts = 0
    result.expired = 0
    return result


def save(
    table: Table,
    request: Message,
    source: Address,
    listener: bytes,
    now_wall: int,
    now_ms: int,
    rules: RegistrarRules,
    clock: HybridClock,
    faults: Faults | None = None,
) -> RegisterResult:
    """Register, refresh, remove or list bindings as `request` asks; never raises for its sake."""
    aor = b""
    try:
        wanted = read_registration(request, source, listener, now_wall, now_ms, rules)
        aor = wanted.aor
        for _ in range(ATTEMPTS):
            result = _attempt(table, wanted, clock, faults)
            if result is not None:
                return result
            if faults is not None:
                faults.conflicts += 1
    except Refused as error:
        return make_result(error.status, error.reason.encode(), error.headers, aor)
    except BadMessage as error:
        return make_result(error.status, error.reason.encode(), b"", aor)
    except ShmError as error:
        _count(error, faults)
    return make_result(503, b"Service Unavailable", rules.retry_after, aor)


def _count(error: ShmError, faults: Faults | None) -> None:
    if faults is None:
        return
    if isinstance(error, LockTimeout):
        faults.lock_timeouts += 1
    else:
        faults.full += 1


def _attempt(
    table: Table, wanted: Registration, clock: HybridClock, faults: Faults | None
) -> RegisterResult | None:
    """One snapshot, one plan, one commit; None when another process committed in between."""
    payload, stamp = table.snapshot(wanted.aor)
    count = 0
    if payload is not None:
        count = binding_count(payload)
        if count < 0:
            if faults is not None:
                faults.corrupt += 1
            count = 0
    if payload is not None and count and len(wanted.contacts) == 1 and not wanted.star:
        at = _plain_refresh(payload, count, wanted)
        if at:
            return _refresh(table, wanted, clock, payload, count, stamp, at)
    if not wanted.contacts:
        return _answer(wanted, payload, count)
    return _replace(table, wanted, clock, payload, count, stamp)


def _plain_refresh(payload: bytes, count: int, wanted: Registration) -> int:
    """Where the binding is that the request merely prolongs; 0 when it does anything else."""
    contact = wanted.contacts[0]
    at = find_contact(payload, count, contact.uri)
    if (
        at > 0
        and wanted.wish(contact) > 0
        and is_live(payload, at, wanted.now)
        and wanted.cseq > get_u32(payload, at + AT_CSEQ)
        and same_string(payload, at, CALL_ID, wanted.call_id)
        and same_string(payload, at, RECEIVED, wanted.received)
        and same_string(payload, at, SOCKET, wanted.socket)
        and same_string(payload, at, PATH, wanted.path)
        and same_string(payload, at, INSTANCE, contact.instance)
        and get_u32(payload, at + AT_REG_ID) == reg_id_of(contact)
        and same_string(payload, at, USER_AGENT, wanted.user_agent)
        and same_string(payload, at, TAG, wanted.rules.tag)
    ):
        return at
    return 0


def _refresh(
    table: Table,
    wanted: Registration,
    clock: HybridClock,
    payload: bytes,
    count: int,
    stamp: int,
    at: int,
) -> RegisterResult | None:
    contact = wanted.contacts[0]
    record = patched(
        payload,
        at,
        clock.tick(wanted.now_ms, highest_version(payload, count)),
        wanted.until(contact),
        wanted.cseq,
        wanted.now,
        wanted.methods,
        contact.q,
        wanted.rules.node,
    )
    due, units = due_at(record, count), units_of(record, count)
    if not table.commit(wanted.aor, stamp, record, due, units):
        return None
    result = _answer(wanted, record, count)
    result.changed = True
    return result


def _replace(
    table: Table,
    wanted: Registration,
    clock: HybridClock,
    payload: bytes | None,
    count: int,
    stamp: int,
) -> RegisterResult | None:
    """The general case: decode, apply all of the request, encode."""
    stored = decode(payload) if count and payload is not None else []
    live = [binding for binding in stored if binding.is_live(wanted.now)]
    rules = wanted.rules
    # The plan changes the bindings themselves, so the names they had are taken before.
    each_leaves_one = rules.replicated and not wanted.star
    gone = tombstones_of(live, wanted.now, rules.node) if each_leaves_one else []
    plan = make_plan(live, wanted)
    if not plan.written:
        return _answer(wanted, payload, count)
    if payload is None and not plan.changes and is_crowded(table):
        return _answer(wanted, None, 0)  # what only other nodes may have is not worth a slot now
    version = clock.tick(wanted.now_ms, _floor(stored))
    for binding in plan.changed:
        binding.version = version
    kept = plan.bindings
    if rules.replicated:
        gone += tombstones_of(plan.missed, wanted.now, rules.node)
        kept = buried(kept, stored, gone, version)
    record = encode(kept) if kept else None
    if not commit_record(table, wanted.aor, stamp, record):
        return None
    result = _answer(wanted, record, len(kept))
    result.changed = True
    result.expired = _expired(stored, wanted.now)
    return result


def _floor(stored: list[Binding]) -> int:
    return max([binding.version for binding in stored], default=0)


def _expired(stored: list[Binding], now: int) -> int:
    expired = 0
    for binding in stored:
        expired += not binding.flags & REMOVED and not binding.is_live(now)
    return expired


def _answer(wanted: Registration, record: bytes | None, count: int) -> RegisterResult:
    """The 200: every live binding, and the Path when the phone understands one."""
    headers = b""
    contacts = 0
    if record is not None and count:
        headers = contact_lines(record, count, wanted.now)
        contacts = live_count(record, count, wanted.now)
    if wanted.path and wanted.supports_path and wanted.rules.echoes_path:
        headers += b"Path: " + wanted.path + b"\r\nSupported: path\r\n"
    result = make_result(200, b"OK", headers, wanted.aor)
    result.contacts = contacts
    return result
