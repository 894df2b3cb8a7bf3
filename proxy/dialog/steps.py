"""What a message makes of a dialog's record: from the bytes there are to the bytes there will be.

Each step gives a draft, or None where nothing changes; who commits it stands in dialog.py.
"""

from __future__ import annotations

import cython

from proxy.dialog.decoded import decode
from proxy.dialog.due import BYE_AGAIN_S, WATCHED, next_due
from proxy.dialog.layout import (
    AT_ANSWERED,
    AT_DUE,
    AT_END_CODE,
    AT_END_REASON,
    AT_ENDED,
    AT_FLAGS,
    AT_INVITE_CSEQ,
    AT_LEGS,
    AT_LIFETIME,
    AT_STATE,
    AT_TIMEOUT,
    BYES_OPEN,
    CANCELLED,
    CONTACT,
    END_WANTED,
    HEAD,
    LEG,
    LEG_ANSWERED,
    LEG_CALLER_CSEQ,
    LEG_CONTACT,
    LEG_CSEQ,
    LEG_DESTINATION,
    LEG_END_REASON,
    LEG_ENDED,
    LEG_FLAGS,
    LEG_HAS_BYE,
    LEG_REACHED,
    LEG_ROUTES,
    LEG_SOCKET,
    LEG_STATE,
    LEG_TAG,
    MANGLED_FROM,
    MANGLED_TO,
    RACE,
    REACHED,
    SEALED,
)
from proxy.dialog.record import (
    find_leg,
    grown_by_leg,
    leg_string,
    string,
    with_leg,
    with_leg_string,
    with_string,
)
from proxy.dialog.route_set import names_target, routes_to_callee, target_of
from proxy.dialog.states import EVENTS, EndReason, Event, State, flatten
from proxy.dialog.store import DialogStore
from proxy.limits.bounds import DIALOG_LEGS, DIALOG_URI_BYTES
from proxy.sip.message import Message

if not cython.compiled:
    from proxy.shm.words import drafted, get_u32, get_u64, put_u16, put_u32, put_u64

TABLE = flatten()
EARLY = int(State.EARLY)
CONFIRMED_NA = int(State.CONFIRMED_NA)
CONFIRMED = int(State.CONFIRMED)
DELETED = int(State.DELETED)
PROVISIONAL = int(Event.PROVISIONAL)
SUCCESS = int(Event.SUCCESS)
SUCCESS_AFTER_BYE = int(Event.SUCCESS_AFTER_BYE)
BYE = int(Event.BYE)
UPSTREAM_BYE = int(EndReason.UPSTREAM_BYE)
DOWNSTREAM_BYE = int(EndReason.DOWNSTREAM_BYE)
# Answers to a BYE after which there is no dialog, or no call in it (RFC 5057 §5.1; 408 and 481,
# RFC 3261 §15.1.1). After any other its sender may come again.
DIALOG_GONE = frozenset({403, 404, 405, 408, 410, 416, 480, 481, 482, 483, 484, 485, 501, 502, 604})
SIGN_OF_LIFE_S = 60  # so often at most an early dialog's record is written only to keep it


def is_fresh(payload: bytes, store: DialogStore) -> bool:
    """Whether it need not yet be said again that an INVITE is being worked on."""
    rest = store.rules.setup_seconds - SIGN_OF_LIFE_S
    return get_u32(payload, AT_DUE) > store.wall + rest


def after_provisional(
    payload: bytes,
    store: DialogStore,
    did: bytes,
    response: Message,
    contact: bytes,
    socket: bytes,
    destination: bytes,
    reached: bytes,
) -> bytearray | None:
    """A 1xx goes upstream: a callee rings, or is known to ring already.

    `contact` is what went upstream as such, if not what came; `reached` is where it is in truth.
    """
    p = payload
    state = p[AT_STATE]
    to = TABLE[state * EVENTS + PROVISIONAL]
    tag = response.to_tag
    if not to:
        return None
    leg = find_leg(payload, tag) if tag else -1
    if leg < 0 and tag and p[AT_LEGS] < DIALOG_LEGS:
        draft = grown_by_leg(
            payload,
            EARLY,
            get_u32(p, AT_INVITE_CSEQ),
            0,
            tag,
            contact or target_of(response),
            routes_to_callee(response, did),
            socket,
            destination,
            reached,
        )
    elif to == state and is_fresh(payload, store):
        return None
    else:
        draft = drafted(payload)
    draft[AT_STATE] = to
    put_u32(draft, AT_DUE, store.wall + store.rules.setup_seconds)
    return draft


def after_success(
    payload: bytes,
    store: DialogStore,
    did: bytes,
    response: Message,
    contact: bytes,
    socket: bytes,
    destination: bytes,
    reached: bytes,
    cancelled: bool,
) -> bytearray | None:
    """A 2xx goes upstream: one of the dialogs is confirmed."""
    p = payload
    leg = find_leg(payload, response.to_tag)
    if not contact and not (leg >= 0 and names_target(response, contact_of(payload, leg))):
        contact = target_of(response)
    routes = routes_to_callee(response, did)
    event = SUCCESS
    if p[AT_STATE] == DELETED and get_u32(p, AT_FLAGS) & SEALED:
        return None
    if leg >= 0:
        if p[leg + LEG_FLAGS] & LEG_HAS_BYE:
            event = SUCCESS_AFTER_BYE
        if not TABLE[p[leg + LEG_STATE] * EVENTS + event]:
            return None
        if contact and contact_of(payload, leg) != contact:
            payload = with_leg_string(payload, leg, LEG_CONTACT, contact)
        if leg_string(payload, leg, LEG_ROUTES) != routes:
            payload = with_leg_string(payload, leg, LEG_ROUTES, routes)
        if reached and leg_string(payload, leg, LEG_REACHED) != reached:
            payload = with_leg_string(payload, leg, LEG_REACHED, reached)
    elif p[AT_LEGS] < DIALOG_LEGS:
        leg = HEAD + p[AT_LEGS] * LEG
        cseq = get_u32(p, AT_INVITE_CSEQ)
        tag = response.to_tag
        payload = with_leg(
            payload, CONFIRMED_NA, cseq, 0, tag, contact, routes, socket, destination, reached
        )
    else:
        leg = spare_leg(payload)
        if leg < 0:
            return None
        for field, text in (
            (LEG_TAG, response.to_tag),
            (LEG_CONTACT, contact),
            (LEG_ROUTES, routes),
            (LEG_SOCKET, socket),
            (LEG_DESTINATION, destination),
            (LEG_REACHED, reached),
        ):
            payload = with_leg_string(payload, leg, field, text)
    draft = drafted(payload)
    draft[leg + LEG_STATE] = CONFIRMED_NA
    put_u64(draft, leg + LEG_ANSWERED, store.wall_ms)
    to = TABLE[p[AT_STATE] * EVENTS + event]
    if to:
        open_up(draft, store, response.status, cancelled)
    return draft


def contact_of(payload: bytes, leg: int) -> bytes:
    """The remote target of a callee, as it is known."""
    return leg_string(payload, leg, LEG_CONTACT)


def spare_leg(payload: bytes) -> int:
    """A leg whose place an answer may take when there is none free: one that only rings, or -1.

    Who lets many tags ring must not get an answer past the books.
    """
    p = payload
    at = HEAD + p[AT_LEGS] * LEG - LEG
    while at >= HEAD and get_u64(p, at + LEG_ANSWERED):
        at -= LEG
    return at if at >= HEAD else -1


def open_up(draft: bytearray, store: DialogStore, status: int, cancelled: bool) -> None:
    """The first of the dialogs is confirmed: its lifetime begins."""
    p = draft
    draft[AT_STATE] = CONFIRMED_NA
    until = store.wall + get_u32(p, AT_LIFETIME)
    put_u64(p, AT_ANSWERED, store.wall_ms)
    put_u64(p, AT_ENDED, 0)
    put_u32(p, AT_TIMEOUT, until)
    put_u32(p, AT_DUE, until)
    if not get_u32(p, AT_FLAGS) & END_WANTED:
        put_u16(p, AT_END_REASON, 0)
    put_u16(p, AT_END_CODE, status)
    if cancelled:
        put_u32(p, AT_FLAGS, get_u32(p, AT_FLAGS) | RACE | CANCELLED)
    watch(draft, store)


def watch(draft: bytearray, store: DialogStore) -> None:
    """Have somebody look before the lifetime is over: for a ping, a race, an end that is wanted."""
    if get_u32(draft, AT_FLAGS) & WATCHED:
        record = decode(b"", bytes(draft))
        put_u32(draft, AT_DUE, next_due(record, store.wall, store.rules.intervals))


def after_bye(
    payload: bytes,
    store: DialogStore,
    leg: int,
    from_caller: bool,
    cseq: int,
    status: int,
    asked_ms: int,
    cancelled: bool,
) -> bytearray | None:
    """A BYE that came at `asked_ms` has its final response, 408 if nobody gave one.

    RFC 3261 §15.1.1: the leg it was sent in has ended, and with the last one all of it, when it was
    accepted, or its answer says that there is no dialog any more. Any other refusal leaves it up:
    its sender may be asked for credentials, or have come with a CSeq that does not rise.
    """
    p = payload
    if leg < 0:
        return None
    at = leg + (LEG_CALLER_CSEQ if from_caller else LEG_CSEQ)
    rises = cseq > get_u32(p, at)
    over = status < 300 or status in DIALOG_GONE
    ends = over and TABLE[p[leg + LEG_STATE] * EVENTS + BYE] != 0
    if not ends and not rises and (not over or p[leg + LEG_FLAGS] & LEG_HAS_BYE):
        return None
    draft = drafted(payload)
    q = draft
    if rises:
        put_u32(q, at, cseq)
    if over:
        draft[leg + LEG_FLAGS] |= LEG_HAS_BYE
    if ends:
        reason = DOWNSTREAM_BYE if from_caller else UPSTREAM_BYE
        ended_ms = max(asked_ms, get_u64(p, leg + LEG_ANSWERED))
        draft[leg + LEG_STATE] = DELETED
        put_u64(q, leg + LEG_ENDED, ended_ms)
        put_u16(q, leg + LEG_END_REASON, reason)
        if not confirmed_legs(draft):
            close(draft, store, reason, ended_ms, cancelled)
    return draft


def close(
    draft: bytearray, store: DialogStore, reason: int, ended_ms: int, cancelled: bool
) -> None:
    """All of it has ended, whoever still rings included; the record stays for late messages."""
    p = draft
    at = HEAD
    while at < HEAD + p[AT_LEGS] * LEG:
        if p[at + LEG_STATE] != DELETED:
            draft[at + LEG_STATE] = DELETED
            put_u64(p, at + LEG_ENDED, ended_ms)
            put_u16(p, at + LEG_END_REASON, reason)
        at += LEG
    draft[AT_STATE] = DELETED
    put_u64(p, AT_ENDED, ended_ms)
    put_u16(p, AT_END_REASON, reason)
    unanswered = get_u32(p, AT_FLAGS) & BYES_OPEN
    put_u32(p, AT_DUE, store.wall + (BYE_AGAIN_S if unanswered else store.rules.delete_delay))
    if cancelled:
        put_u32(p, AT_FLAGS, get_u32(p, AT_FLAGS) | CANCELLED)


def moved(payload: bytes, leg: int, caller: bool, contact: bytes, reached: bytes) -> bytes:
    """The record with another remote target of one side, and another place where that is."""
    if not contact:
        return payload
    if caller:
        if string(payload, CONTACT) != contact:
            payload = with_string(payload, CONTACT, contact)
        if string(payload, REACHED) != reached:
            payload = with_string(payload, REACHED, reached)
        return payload
    if leg_string(payload, leg, LEG_CONTACT) != contact:
        payload = with_leg_string(payload, leg, LEG_CONTACT, contact)
    if leg_string(payload, leg, LEG_REACHED) != reached:
        payload = with_leg_string(payload, leg, LEG_REACHED, reached)
    return payload


def as_sent(payload: bytes, contact: bytes, from_uri: bytes, to_uri: bytes) -> bytes:
    """The record with what the INVITE went on with that is not as it came; empty: that is."""
    for field, value in ((CONTACT, contact), (MANGLED_FROM, from_uri), (MANGLED_TO, to_uri)):
        if value and len(value) <= DIALOG_URI_BYTES and string(payload, field) != value:
            payload = with_string(payload, field, value)
    return payload


def confirmed_legs(payload: bytearray) -> int:
    """How many callees have answered and not hung up."""
    p = payload
    count = 0
    at = HEAD
    while at < HEAD + p[AT_LEGS] * LEG:
        if p[at + LEG_STATE] == CONFIRMED or p[at + LEG_STATE] == CONFIRMED_NA:
            count += 1
        at += LEG
    return count
