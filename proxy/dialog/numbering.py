"""The CSeq numbers of a dialog into which we put requests of our own (RFC 3261 §12.2.1.1).

A request that we make takes the number after the last one that its side has sent, so whatever that
side sends later goes on with a higher number than it has, and what is answered comes back with the
number it had. How far numbers are shifted follows from three in the record, for each direction:

    generated   the number of the request that we made last
    since       the last number of that side when we did
    before      how far numbers up to `since` are shifted: its ACK may still come

so that any worker shifts the same request the same way, and again the same when it is repeated.
"""

from __future__ import annotations

import cython

from proxy.dialog.decoded import Leg
from proxy.dialog.layout import (
    LEG_BEFORE,
    LEG_CALLER_BEFORE,
    LEG_CALLER_GENERATED,
    LEG_CALLER_SINCE,
    LEG_GENERATED,
    LEG_SINCE,
)
from proxy.limits.bounds import CSEQ

if not cython.compiled:
    from proxy.shm.words import get_u32


def sent_as(payload: bytes, leg: int, to_caller: bool, number: int) -> int:
    """The number under which a request that came with `number` goes on."""
    generated = get_u32(payload, leg + (LEG_CALLER_GENERATED if to_caller else LEG_GENERATED))
    if generated == 0:
        return number
    since = get_u32(payload, leg + (LEG_CALLER_SINCE if to_caller else LEG_SINCE))
    if number > since:
        return number + generated - since
    return number + get_u32(payload, leg + (LEG_CALLER_BEFORE if to_caller else LEG_BEFORE))


def came_as(payload: bytes, leg: int, to_caller: bool, number: int) -> int:
    """The number with which a request came that went on with `number`."""
    generated = get_u32(payload, leg + (LEG_CALLER_GENERATED if to_caller else LEG_GENERATED))
    if generated == 0:
        return number
    if number > generated:
        since = get_u32(payload, leg + (LEG_CALLER_SINCE if to_caller else LEG_SINCE))
        return number - generated + since
    return number - get_u32(payload, leg + (LEG_CALLER_BEFORE if to_caller else LEG_BEFORE))


def take_number(leg: Leg, to_caller: bool) -> int:
    """A number for a request of our own, noted in the leg; 0 when there is none left."""
    if to_caller:
        taken = _after(leg.cseq, leg.caller_generated, leg.caller_since, leg.caller_before)
        leg.caller_generated, leg.caller_since, leg.caller_before = taken
    else:
        taken = _after(leg.caller_cseq, leg.generated, leg.since, leg.before)
        leg.generated, leg.since, leg.before = taken
    return taken[0] if taken[0] <= CSEQ else 0


def _after(last: int, generated: int, since: int, before: int) -> tuple[int, int, int]:
    """What follows in `generated`, `since` and `before` when `last` is the last that came."""
    if generated == 0:
        return last + 1, last, 0
    if last > since:
        shift = generated - since
        return last + shift + 1, last, shift
    return generated + 1, since, before
