"""Whether a record that came from elsewhere, a peer or a database, can be one of ours.

What `is_sound` says of lengths and offsets is enough for what this node wrote. Of what others say,
texts get into messages and numbers into sums: nothing may be in it that we would not have written.
"""

from __future__ import annotations

import cython

from proxy.dialog.layout import (
    AT_CREATED,
    AT_END_REASON,
    AT_INVITE_CSEQ,
    AT_LEGS,
    AT_LENGTHS,
    AT_PROFILES,
    HEAD,
    LEG,
    LEG_ANSWERED,
    LEG_AT_STRINGS,
    LEG_CALLER_CSEQ,
    LEG_CALLER_GENERATED,
    LEG_CALLER_SINCE,
    LEG_CSEQ,
    LEG_END_REASON,
    LEG_GENERATED,
    LEG_LENGTHS,
    LEG_SDP,
    LEG_SINCE,
    LEG_STRINGS,
    PROFILES,
    SDP,
    STRINGS,
    VARIABLES,
)
from proxy.dialog.record import is_sound
from proxy.dialog.states import EndReason
from proxy.limits.bounds import (
    CALL_ID_BYTES,
    CSEQ,
    DIALOG_CONTACT_BYTES,
    DIALOG_LEGS,
    DIALOG_PROFILES,
    DIALOG_ROUTES_BYTES,
    DIALOG_SDP_BYTES,
    DIALOG_URI_BYTES,
    DIALOG_VARIABLES_BYTES,
    PROFILE_NAME_BYTES,
    PROFILE_VALUE_BYTES,
    TAG_BYTES,
    TAG_NAME_BYTES,
)

if not cython.compiled:
    from proxy.shm.words import get_u16, get_u32, get_u64

LAST_REASON = int(max(EndReason))
LAST_MOMENT = 0xFFFFFFFF * 1000  # milliseconds; until then seconds fit into 32 bits
HOST_PORT_BYTES = 64
PAIR_OVERHEAD = 3  # bytes of a list for each pair beside name and value
ALL_VARIABLES = 255 * PAIR_OVERHEAD + DIALOG_VARIABLES_BYTES
ALL_PROFILES = DIALOG_PROFILES * (PAIR_OVERHEAD + PROFILE_NAME_BYTES + PROFILE_VALUE_BYTES)
# How long each string may be, in the layout's order.
MOST = (
    DIALOG_URI_BYTES,
    DIALOG_URI_BYTES,
    DIALOG_CONTACT_BYTES,
    DIALOG_ROUTES_BYTES,
    HOST_PORT_BYTES,
    TAG_NAME_BYTES,
    ALL_VARIABLES,
    ALL_PROFILES,
    HOST_PORT_BYTES,
    DIALOG_SDP_BYTES,
    HOST_PORT_BYTES,
    DIALOG_URI_BYTES,
    DIALOG_URI_BYTES,
)
MOST_OF_LEG = (
    TAG_BYTES,
    DIALOG_CONTACT_BYTES,
    DIALOG_ROUTES_BYTES,
    HOST_PORT_BYTES,
    HOST_PORT_BYTES,
    DIALOG_SDP_BYTES,
    HOST_PORT_BYTES,
)

HIGHEST_CSEQ = CSEQ
LONGEST_NAME = 0xFF
NUMBERS = (
    LEG_CSEQ,
    LEG_CALLER_CSEQ,
    LEG_GENERATED,
    LEG_CALLER_GENERATED,
    LEG_SINCE,
    LEG_CALLER_SINCE,
)
TAB = 0x09
SPACE = 0x20
DELETE = 0x7F


def is_plausible(key: bytes, payload: bytes) -> bool:
    """Whether key and record can have been made by a node of ours."""
    return is_plausible_key(key) and is_plausible_record(payload)


def is_plausible_key(key: bytes) -> bool:
    """Call-ID and tag, and perhaps a did: none of them with a control character."""
    parts = key.split(b"\0")
    if not 2 <= len(parts) <= 3 or len(parts[1]) > TAG_BYTES:
        return False
    for part in parts:
        if len(part) > CALL_ID_BYTES or not part or not is_text(part, 0, len(part)):
            return False
    return True


def is_plausible_record(payload: bytes) -> bool:
    """Whether a record is sound, its texts can stand in messages, and its numbers can be reckoned
    with."""
    if not is_sound(payload):
        return False
    p = payload
    legs = p[AT_LEGS]
    if legs > DIALOG_LEGS or get_u16(p, AT_END_REASON) > LAST_REASON:
        return False
    if not _are_moments(payload, AT_CREATED, 3) or get_u32(p, AT_INVITE_CSEQ) > HIGHEST_CSEQ:
        return False
    start = HEAD + legs * LEG
    for field in range(STRINGS):
        end = start + get_u16(p, AT_LENGTHS + 2 * field)
        if end - start > MOST[field]:
            return False
        if field == VARIABLES:
            if _pairs(payload, start, end, LONGEST_NAME, ALL_VARIABLES) < 0:
                return False
        elif field == PROFILES:
            if p[AT_PROFILES] > DIALOG_PROFILES or p[AT_PROFILES] != _pairs(
                payload, start, end, PROFILE_NAME_BYTES, PROFILE_VALUE_BYTES
            ):
                return False
        elif field != SDP and not is_text(payload, start, end):
            return False
        start = end
    leg = HEAD
    while leg < HEAD + legs * LEG and _is_plausible_leg(payload, leg):
        leg += LEG
    return leg == HEAD + legs * LEG


def _is_plausible_leg(payload: bytes, leg: int) -> bool:
    p = payload
    if get_u16(p, leg + LEG_END_REASON) > LAST_REASON or not _are_moments(
        payload, leg + LEG_ANSWERED, 2
    ):
        return False
    for at in NUMBERS:
        if get_u32(p, leg + at) > HIGHEST_CSEQ:
            return False
    start = HEAD + p[AT_LEGS] * LEG + get_u32(p, leg + LEG_AT_STRINGS)
    for field in range(LEG_STRINGS):
        end = start + get_u16(p, leg + LEG_LENGTHS + 2 * field)
        if end - start > MOST_OF_LEG[field]:
            return False
        if field != LEG_SDP and not is_text(payload, start, end):
            return False
        start = end
    return True


def _are_moments(payload: bytes, at: int, count: int) -> bool:
    """Whether numbers of milliseconds since 1970 are moments that seconds can be made of."""
    while count > 0 and get_u64(payload, at) <= LAST_MOMENT:
        count -= 1
        at += 8
    return count == 0


def is_text(payload: bytes, start: int, end: int) -> bool:
    """Whether a part of a record may get into a header: no control character, a tab excepted."""
    p = payload
    for index in range(start, end):
        if (p[index] < SPACE and p[index] != TAB) or p[index] == DELETE:
            return False
    return True


def _pairs(payload: bytes, at: int, end: int, name_bytes: int, value_bytes: int) -> int:
    """How many names with values there are in a list; -1 when it is none, or too much."""
    p = payload
    count = 0
    while at < end:
        name_end = at + 1 + p[at]
        if p[at] > name_bytes or name_end + 2 > end:
            return -1
        size = get_u16(p, name_end)
        at = name_end + 2 + size
        if size > value_bytes or at > end:
            return -1
        count += 1
    return count
