"""Whether a request inside a dialog is what its sender may send (OpenSIPS' validate_dialog)."""

from __future__ import annotations

from enum import IntEnum

from proxy.dialog.dialog import Dialog
from proxy.dialog.layout import (
    CONTACT,
    LEG_CALLER_CSEQ,
    LEG_CONTACT,
    LEG_CSEQ,
    LEG_ROUTES,
    ROUTES,
)
from proxy.dialog.record import leg_string, string
from proxy.errors import BadMessage
from proxy.shm.words import get_u32
from proxy.sip.headers import parse_name_addr, split_commas
from proxy.sip.message import Message
from proxy.sip.uri import parse_uri


class Validity(IntEnum):
    """What is wrong with a request, by OpenSIPS' numbers."""

    VALID = 1
    BAD_CSEQ = -1
    BAD_TARGET = -2
    BAD_ROUTES = -3
    NO_DIALOG = -4


def other_side(dialog: Dialog) -> tuple[bytes, list[bytes]]:
    """Where the request for which a dialog was found has to go: remote target, route set."""
    if dialog.from_caller:
        target = leg_string(dialog.payload, dialog.leg, LEG_CONTACT)
        routes = leg_string(dialog.payload, dialog.leg, LEG_ROUTES)
    else:
        target = string(dialog.payload, CONTACT)
        routes = string(dialog.payload, ROUTES)
    return target, split_commas(routes)


def validate(dialog: Dialog, request: Message, request_uri: bytes, routes: list[bytes]) -> Validity:
    """Judge a request by CSeq, Request-URI and the Route that is left behind us."""
    if dialog.leg < 0:
        return Validity.NO_DIALOG
    at = LEG_CALLER_CSEQ if dialog.from_caller else LEG_CSEQ
    if request.method != "ACK" and request.cseq <= get_u32(dialog.payload, dialog.leg + at):
        return Validity.BAD_CSEQ
    target, expected = other_side(dialog)
    if target and not same_place(target, request_uri):
        return Validity.BAD_TARGET
    if len(expected) != len(routes):
        return Validity.BAD_ROUTES
    for one, other in zip(expected, routes, strict=True):
        if one != other and not same_place(uri_of(one), uri_of(other)):
            return Validity.BAD_ROUTES
    return Validity.VALID


def uri_of(route: bytes) -> bytes:
    """The URI of a Route value."""
    return parse_name_addr(route).uri


def same_place(one: bytes, other: bytes) -> bool:
    """Whether two URIs name the same user at the same host and port."""
    if one == other:
        return True
    try:
        a, b = parse_uri(one), parse_uri(other)
    except BadMessage:
        return False
    return (a.user, a.host, a.port) == (b.user, b.host, b.port)
